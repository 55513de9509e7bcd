"""The spec asks for an experiment that is not on record: it begins once nothing is in its way.

It needs a stable version, arms that exist and differ, and that no candidate is on trial. What is left of an experiment
before leaves the route first.
"""

from datetime import datetime

from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.experiment import ArmStatus, ExperimentSpec, ExperimentStatus
from belay_api.rollout.status import ServedArmStatus
from belay_operator.rollout import arms, winner
from belay_operator.rollout.gates import MORE_TRAFFIC, first_closed
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.trials import judged_by
from belay_operator.rollout.wait import Wait
from belay_operator.rollout.words import meanwhile


def act(observed: Observed, now: datetime) -> Move | None:
    """Record the experiment: its arms get their pods."""
    status, asked, stable = observed.status, observed.spec.policy.winner_of, observed.status.stable
    if asked is None or stable is None or observed.unfit is not None or winner.recorded(asked, status) is not None:
        return None
    if (
        status.candidate is not None
        or observed.rolling_back
        or observed.stable_lost
        or arms.running(status) is not None
    ):
        return None
    if _making_room(observed) or _obstacle(observed, asked) or first_closed(MORE_TRAFFIC, observed, now):
        return None
    at = instant(now)
    begins = ExperimentStatus(
        definition=winner.definition_of(asked),
        judged_by=judged_by(observed.spec.analysis),
        stable=stable.policy,
        stable_digest=stable.digest,
        metric=asked.metric,
        arms=[
            ArmStatus(policy=arm.policy, digest=observed.policies[arm.policy].digest, weight=arm.weight)
            for arm in asked.arms
        ],
        begun_at=at,
    )
    names = {arm.policy for arm in asked.arms}
    served = [ServedArmStatus(policy=arm.policy, digest=arm.digest, since=at, weight=arm.weight) for arm in begins.arms]
    others = [arm for arm in status.arms if arm.policy not in names]
    words = f"{', '.join(sorted(names))} compete with {stable.policy} by {asked.metric}"
    after = changed(status, experiment=begins, arms=[*others, *served])
    return Move(after, (note(EventReason.EXPERIMENT_STARTED, words),))


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell what is in its way."""
    status, asked = observed.status, observed.spec.policy.winner_of
    if asked is None or status.candidate is not None or status.stable is None:
        return None
    if winner.recorded(asked, status) is not None:
        return None
    return _obstacle(observed, asked) or first_closed(MORE_TRAFFIC, observed, now) or _making_room(observed)


def _making_room(observed: Observed) -> Wait | None:
    """What is left of the experiment before; None: nothing is in the way. Pods that are kept are not."""
    if all(arm.until is not None and arm.episodes_until is None for arm in observed.status.arms):
        return None
    return Wait(RolloutReason.PROGRESSING, "waiting until the episodes of the arms before have ended")


def _obstacle(observed: Observed, asked: ExperimentSpec) -> Wait | None:
    """Why the experiment cannot begin as it is written; None: it can."""
    names, stable = [arm.policy for arm in asked.arms], observed.status.stable
    invalid = _contradiction(observed, asked)
    if invalid is not None:
        return Wait(RolloutReason.INVALID_SPEC, f"spec.policy.winnerOf: {invalid}", stalled=True)
    views = {name: view for name in names if (view := observed.policies.get(name)) is not None and not view.deleted}
    absent = [name for name in names if name not in views]
    if absent:
        words = f"spec.policy.winnerOf.arms: there is no RLPolicy {', '.join(absent)} in this namespace"
        return Wait(RolloutReason.POLICY_NOT_FOUND, f"{words}; {meanwhile(observed)}")
    again = [name for name in names if views[name].digest in observed.status.rejected_digests]
    if again:
        words = (
            f"the digest of {', '.join(again)} was taken back before, so no experiment begins; {meanwhile(observed)}"
        )
        return Wait(
            RolloutReason.REJECTED, f"{words}. Remove it from the arms, or send the command retry", stalled=True
        )
    bytes_of: dict[str, str] = {stable.digest: stable.policy} if stable is not None else {}
    for name in names:
        same = bytes_of.setdefault(views[name].digest, name)
        if same != name or (stable is not None and name == stable.policy):
            words = f"spec.policy.winnerOf.arms: {name} has the bytes of {same}, and nobody could be better than itself"
            return Wait(RolloutReason.INVALID_SPEC, f"{words}: remove it", stalled=True)
    return None


def _contradiction(observed: Observed, asked: ExperimentSpec) -> str | None:
    """What the schema cannot say, or an older one did not."""
    metric = next((one for one in observed.spec.analysis.deciding if one.name == asked.metric), None)
    if metric is None or metric.compare is None or metric.source.logbook is None:
        return (
            f"metric {asked.metric} is none of analysis.metrics that compares an outcome of the logbook without dryRun"
        )
    if asked.timeout < asked.duration:
        return "timeout is shorter than duration, and nobody could win: write a longer timeout"
    if sum(arm.weight for arm in asked.arms) > 90:
        return "the arms have more than 90 percent together: lower their weights"
    return None
