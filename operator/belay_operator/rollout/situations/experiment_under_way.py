"""An experiment is under way: its arms have pods on their way, get their shares together, and are judged.

    recorded (pods start) ──▶ all on the route ──▶ accepted: looks ──▶ over: all but a winner off the route ──▶ their
                                   ▲  └ an arm without pods is off until it has them again       episodes end, pods go
                                   └─ an arm that fails, or can serve no more, is off for good

Stable keeps the rest of the traffic and is never on trial. There is no candidate meanwhile: whatever makes one (another
wish of the spec, the command `undo`) ends the experiment first. A winner becomes the candidate by the ordinary path,
because from then on the spec wants it (`winner`); one that failed is rejected as a candidate is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.experiment import (
    MAX_CHANGES,
    ArmOutcome,
    ArmStatus,
    ExperimentSpec,
    ExperimentStatus,
    ShareChange,
)
from belay_api.rollout.status import ServedArmStatus
from belay_api.units import format_duration
from belay_operator.rollout import arms, experiment, recording, route, winner
from belay_operator.rollout.experiment import over
from belay_operator.rollout.gates import MORE_TRAFFIC, first_closed
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.trials import begun, judged_by
from belay_operator.rollout.wait import Wait
from belay_operator.rollout.withdrawal import rejected
from belay_operator.rollout.words import UNATTENDED, meanwhile


def act(observed: Observed, now: datetime) -> Move | None:
    """Return the first of these that is due."""
    acts = (_end, _take_out, _restart, _share_out, _accept, _look, _conclude)
    return next((move for one in acts if (move := one(observed, now)) is not None), None)


def times(observed: Observed, now: datetime) -> list[timedelta]:
    """Return when a winner may be declared, when the time is over, and when numbers are due."""
    asked, found = observed.spec.policy.winner_of, arms.running(observed.status)
    if asked is None or found is None or found.started_at is None or observed.unfit is not None:
        return []
    due = [found.started_at + after - now for after in (asked.duration, asked.timeout)]
    return [*due, *_held_back(_looked_at(observed, found, asked, now), found, now)]


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell what the experiment waits for."""
    found = arms.running(observed.status)
    if found is None or observed.status.candidate is not None:
        return None
    wait, stable = _under_way(observed, found, now), observed.policy(observed.status.stable)
    if stable is None or not stable.deleted:
        return wait
    return replace(wait, message=f"{wait.message}. RLPolicy {found.stable} was deleted: {UNATTENDED}")


def _end(observed: Observed, now: datetime) -> Move | None:
    """End what nobody asks for any more. While part of the spec cannot be read, that is not known."""
    status, found = observed.status, arms.running(observed.status)
    if found is None:
        return None
    if status.candidate is not None:
        return over(observed, now, "another version is on trial, so the experiment ended without a winner")
    stable = status.stable
    if stable is None or (stable.policy, stable.digest) != (found.stable, found.stable_digest):
        return over(observed, now, f"{found.stable} is not stable any more, so the experiment ended without a winner")
    if observed.unfit is None and winner.recorded(observed.spec.policy.winner_of, status) is None:
        return over(observed, now, "spec.policy asks for something else, so the experiment ended without a winner")
    return None


def _take_out(observed: Observed, now: datetime) -> Move | None:
    """Take out an arm that can serve no more."""
    found = arms.running(observed.status)
    if found is None:
        return None
    broken = {arm.policy: words for arm in found.arms if (words := _unfit(arm, found, observed)) is not None}
    return _without(observed, found, broken, ArmOutcome.UNFIT, now) if broken else None


def _unfit(arm: ArmStatus, found: ExperimentStatus, observed: Observed) -> str | None:
    view = observed.policies.get(arm.policy)
    if arm.outcome is not None:
        return None
    if view is None or view.deleted:
        return "its RLPolicy was deleted"
    if view.digest != arm.digest:
        return "its RLPolicy was made again with another digest"
    if view.broken is not None:
        return ": ".join(view.broken)
    return "its pods come and go" if len(found.changes) >= arms.MOST_CHANGES and view.ready_replicas == 0 else None


def _restart(observed: Observed, now: datetime) -> Move | None:
    """Begin the comparison anew where somebody edited what arms are judged by: another test of each of them."""
    found, now_judged_by = arms.running(observed.status), judged_by(observed.spec.analysis)
    if found is None or observed.unfit is not None or found.judged_by == now_judged_by:
        return None
    anew = [
        arm.model_copy(update={"verdicts": [], "better": None}) if arm.outcome is None else arm for arm in found.arms
    ]
    fields = {"judged_by": now_judged_by, "arms": anew, "started_at": None, "changes": [], "asked_at": instant(now)}
    # What is on the route is asked about anew, so that the new beginning has an instant of its own.
    served = [arm.model_copy(update={"accepted": arm.accepted and not arm.on_route}) for arm in observed.status.arms]
    return Move(changed(observed.status, experiment=found.model_copy(update=fields), arms=served))


def _share_out(observed: Observed, now: datetime) -> Move | None:
    """Put arms on the route, all together at first, and take off at once who has no pod."""
    found = arms.running(observed.status)
    if found is None or observed.stable_lost:
        return None
    taking_part = {arm.policy for arm in found.arms if arm.outcome is None}
    able = {name for name in taking_part if _answers(name, observed)}
    barred = observed.unfit is not None or first_closed(MORE_TRAFFIC, observed, now) is not None
    may_join = found.started_at is not None or (able == taking_part and not barred)  # what has begun goes on
    served = [
        _shared(arm, on_route=arm.policy in able and (arm.on_route or may_join)) if arm.policy in taking_part else arm
        for arm in observed.status.arms
    ]
    if served == observed.status.arms:
        return None
    after = changed(observed.status, arms=served, experiment=_asking(found, now))
    return Move(changed(after, pinned=route.places(after)))


def _asking(found: ExperimentStatus, now: datetime) -> ExperimentStatus:
    """The experiment with a change of shares that the gateway has to accept."""
    return found.model_copy(update={"asked_at": found.asked_at or instant(now)})


def _answers(name: str, observed: Observed) -> bool:
    """Whether traffic may go to an arm: it takes all its pods to begin and to come back, and one to go on."""
    view = observed.policies[name]
    there = any(arm.policy == name and arm.on_route for arm in observed.status.arms)
    return view.ready_replicas > 0 if there else view.has_capacity


def _shared(arm: ServedArmStatus, *, on_route: bool) -> ServedArmStatus:
    return arm if on_route == arm.on_route else arm.model_copy(update={"on_route": on_route, "accepted": False})


def _accept(observed: Observed, now: datetime) -> Move | None:
    """Record that the gateway has accepted the shares: with the first the comparison begins."""
    status = observed.status
    if all(arm.accepted for arm in status.arms) or not route.in_force(observed, now):
        return None
    accepted = [arm.model_copy(update={"accepted": True}) for arm in status.arms]
    found, at = arms.running(status), instant(now)
    if found is None:
        return Move(changed(status, arms=accepted))
    sharing = [arm.policy for arm in accepted if arm.on_route]
    change = ShareChange(at=at, asked_at=min(found.asked_at or at, at), arms=sharing)
    fields: dict[str, object] = {"asked_at": None, "changes": [*found.changes, change][-MAX_CHANGES:]}
    if found.started_at is not None or not sharing:
        return Move(changed(status, arms=accepted, experiment=found.model_copy(update=fields)))
    started = found.model_copy(update={**fields, "changes": [change], "started_at": at})
    after = changed(status, arms=accepted, experiment=started)
    for arm in started.arms:
        tested = begun(experiment.as_candidate(after, started, arm), observed.spec.analysis)
        after = changed(after, trials=tested if arm.outcome is None else after.trials)
    return Move(after)


def _look(observed: Observed, now: datetime) -> Move | None:
    """Record what this pass's look at the arms finds, and take out those that fail."""
    found, asked = arms.running(observed.status), observed.spec.policy.winner_of
    if found is None or found.started_at is None:
        return None
    seen = _looked_at(observed, found, asked, now)
    # Nothing is taken from an arm for a stable version that is lost.
    able = () if observed.stable_lost else [arm for arm in seen if arm.outcome is None]
    failed = {arm.policy: words for arm in able if (words := experiment.failure(arm, observed)) is not None}
    left = _held_back(seen, found, now)
    told = any(_is_news(before, arm) for before, arm in zip(found.arms, seen, strict=True))
    if not (failed or told or (left and min(left) <= timedelta())):
        return None
    recorded = found.model_copy(update={"arms": list(seen)})
    if failed:
        return _without(observed, recorded, failed, ArmOutcome.WORSE, now)
    return Move(changed(observed.status, experiment=recorded))


def _conclude(observed: Observed, now: datetime) -> Move | None:
    """End the experiment where an arm has won, none is left, or its time is over."""
    found, asked = arms.running(observed.status), observed.spec.policy.winner_of
    if found is None:
        return None
    if all(arm.outcome is not None for arm in found.arms):
        return over(observed, now, "no arm is left, so none has won")
    if asked is None or found.started_at is None or observed.unfit is not None or observed.stable_lost:
        return None
    age = now - found.started_at
    # A look is worth its time only where something may follow.
    return _result(observed, found, asked, age, now) if age >= min(asked.duration, asked.timeout) else None


def _result(
    observed: Observed, found: ExperimentStatus, asked: ExperimentSpec, age: timedelta, now: datetime
) -> Move | None:
    """End the experiment where this pass's look shows a winner, or it has lasted for as long as it may."""
    seen = _looked_at(observed, found, asked, now)
    best = experiment.winner(seen, asked, observed)
    observed = observed.after(changed(observed.status, experiment=found.model_copy(update={"arms": list(seen)})))
    if best is not None and age >= asked.duration:
        words = f"{best.policy} has won: it is better than {found.stable} by {asked.metric}"
        return over(observed, now, words, won=best.policy)
    if age >= asked.timeout:
        words = (
            f"no arm was shown to be better than {found.stable} by {asked.metric} in {format_duration(asked.timeout)}"
        )
        return over(observed, now, words)
    return None


def _looked_at(
    observed: Observed, found: ExperimentStatus, asked: ExperimentSpec | None, now: datetime
) -> Sequence[ArmStatus]:
    """The arms with this pass's look at each that takes part."""
    return [experiment.look(arm, asked, observed, now) if arm.outcome is None else arm for arm in found.arms]


def _held_back(seen: Sequence[ArmStatus], found: ExperimentStatus, now: datetime) -> list[timedelta]:
    """When numbers that were not worth a write are due."""
    times = (
        recording.write_after(before.verdicts, arm.verdicts, now) for before, arm in zip(found.arms, seen, strict=True)
    )
    return [time for time in times if time is not None]


def _is_news(before: ArmStatus, arm: ArmStatus) -> bool:
    return before.better != arm.better or recording.are_news(before.verdicts, arm.verdicts)


def _without(
    observed: Observed, found: ExperimentStatus, out: Mapping[str, str], outcome: ArmOutcome, now: datetime
) -> Move:
    """Take arms out, each for its reason: they are off the route for good, and their episodes with them."""
    status = observed.status
    told = [
        arm.model_copy(update={"outcome": outcome, "message": out[arm.policy], "withdrawn_at": instant(now)})
        if arm.policy in out
        else arm
        for arm in found.arms
    ]
    served = [
        _shared(arm, on_route=False) if arm.policy in out else arm  # its episodes go on with stable
        for arm in status.arms
    ]
    recorded = _asking(found, now).model_copy(update={"arms": told})
    after = changed(status, experiment=recorded, arms=served)
    if outcome is ArmOutcome.WORSE:
        for arm in found.arms:
            digests = after.rejected_digests
            after = changed(after, rejected_digests=rejected(digests, arm.digest)) if arm.policy in out else after
    events = (note(EventReason.ARM_WITHDRAWN, f"{name}: {words}", warning=True) for name, words in out.items())
    return Move(after, tuple(events))


def _under_way(observed: Observed, found: ExperimentStatus, now: datetime) -> Wait:
    """What an experiment that has begun waits for."""
    taking_part = [arm for arm in found.arms if arm.outcome is None]
    away = [arm.policy for arm in taking_part if not _answers(arm.policy, observed)]
    if found.started_at is None and away:
        words = "; ".join(_pods_of(name, observed) for name in away)
        return Wait(RolloutReason.PREPARING, f"waiting for {words}; {meanwhile(observed)}")
    barred = first_closed(MORE_TRAFFIC, observed, now) if found.started_at is None else None
    if barred is not None:
        return barred
    if not all(arm.accepted for arm in observed.status.arms):
        in_place, waited = route.in_place(observed, now), now - found.begun_at
        trouble = observed.router.trouble(observed.traffic, in_place=in_place, waited=waited)
        if trouble is not None:
            return trouble
    blind = next((v for arm in taking_part for v in arm.verdicts if v.grace_too_short and not v.dry_run), None)
    if blind is not None:
        return Wait(RolloutReason.GRACE_TOO_SHORT, f"{blind.metric}: {blind.message}")
    words = f"{', '.join(arm.policy for arm in taking_part)} compete with {found.stable} by {found.metric}"
    off = f"; off the route until their pods are ready: {', '.join(away)}" if away else ""
    steps = None if observed.progression is None else observed.progression.fault
    barred_too = "" if steps is None else f". A winner could not be taken up: {steps.message}"
    return Wait(RolloutReason.EXPERIMENTING, words + off + barred_too)


def _pods_of(name: str, observed: Observed) -> str:
    view = observed.policies[name]
    words = f" ({view.message.rstrip('.')})" if view.message else ""
    return f"{view.needed_replicas} ready replicas of {name}{words}"
