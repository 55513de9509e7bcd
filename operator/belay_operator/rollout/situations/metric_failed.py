"""A metric has failed: the candidate is taken back, whatever the step, where somebody else can take over.

The first version of a rollout and one that answers in place of a lost stable version keep their traffic: bad answers
are better than none. They are not promoted, and people are told.
"""

from datetime import datetime

from belay_api.reasons import EventReason, RolloutReason, Verdict
from belay_api.rollout.verdicts import MetricVerdict
from belay_operator.rollout import withdrawal
from belay_operator.rollout.move import Move, changed, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait


def act(observed: Observed, now: datetime) -> Move | None:
    """Withdraw the candidate, or warn once where it must stay."""
    failed = _failed(observed)
    if failed is None:
        return None
    if withdrawal.somebody_else_answers(observed):
        message = f"{failed.metric}: {failed.message}"
        return withdrawal.begin(observed, now, reason="Verdict", message=message, metric=failed.metric)
    step, wait = observed.status.step, explain(observed, now)
    if step is None or wait is None or step.failed_metric == failed.metric:
        return None
    recorded = step.model_copy(update={"failed_metric": failed.metric})
    return Move(
        changed(observed.status, step=recorded), (note(EventReason.VERDICT_FAILED, wait.message, warning=True),)
    )


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell why a candidate that failed keeps its traffic."""
    failed, candidate = _failed(observed), observed.status.candidate
    if failed is None or candidate is None or withdrawal.somebody_else_answers(observed):
        return None
    message = (
        f"{candidate.policy} fails: {failed.metric}: {failed.message}. It keeps its traffic, because no other version "
        "could take over. Send promote to keep it until a better policy, named in the spec, replaces it"
    )
    return Wait(RolloutReason.VERDICT_FAILED, message, stalled=True)


def _failed(observed: Observed) -> MetricVerdict | None:
    if observed.rolling_back:
        return None
    return next((verdict for verdict in observed.verdicts or () if verdict.verdict is Verdict.FAIL), None)
