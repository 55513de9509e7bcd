"""What followed a verdict that stayed away, as it is recorded with that verdict.

It holds for the step that was under way: the next one asks anew. A verdict of another kind asks anew as well, so that a
metric whose measurements come back is not passed over.
"""

from belay_api.rollout.outcome import Action
from belay_api.rollout.status import StepStatus
from belay_api.rollout.verdicts import FollowedStatus, MetricVerdict
from belay_operator.rollout.observed import Observed


def went_on_without(verdict: MetricVerdict, step: StepStatus | None) -> bool:
    """Return whether the step goes on without a Pass of this metric."""
    followed = _in(verdict, step)
    return followed is not None and (followed.action, followed.verdict) == (Action.CONTINUE, verdict.verdict)


def extended(verdict: MetricVerdict, step: StepStatus | None) -> int:
    """Return how often the step got more time for this metric."""
    followed = _in(verdict, step)
    return followed.times if followed is not None and followed.action is Action.EXTEND else 0


def left_out(observed: Observed) -> dict[str, MetricVerdict]:
    """Return the verdicts that the step under way goes on without, by metric."""
    step = observed.status.step
    return {verdict.metric: verdict for verdict in observed.verdicts or () if went_on_without(verdict, step)}


def _in(verdict: MetricVerdict, step: StepStatus | None) -> FollowedStatus | None:
    """What followed in this step. It may have begun again, and two may have begun at one instant."""
    followed = verdict.followed
    if followed is None or step is None or followed.step != step.index or followed.at < step.started_at:
        return None
    return followed
