"""What stands in the way of going on: asked before a candidate is taken up, and before a step is left.

A gate reads what is observed and returns what is waited for, or None to let through. Leaving a step that ends in the
promotion is promoting, so the same gates stand before that. A rollback is never asked.
"""

from collections.abc import Callable
from datetime import datetime

from belay_api.reasons import RolloutReason, Verdict
from belay_api.rollout.group import GroupSpec
from belay_api.rollout.outcome import Action
from belay_api.units import format_instant
from belay_operator.rollout import arms
from belay_operator.rollout.group import is_free
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.patience import absences, failures
from belay_operator.rollout.ratchet import approval_in_place_of_the_anchor, approval_needed
from belay_operator.rollout.stepping import kept_share, kind_under_way
from belay_operator.rollout.steps import KINDS
from belay_operator.rollout.wait import Wait
from belay_operator.rollout.windows import is_open, next_opening

Gate = Callable[[Observed, datetime], Wait | None]


def measurements_missing(observed: Observed, now: datetime) -> Wait | None:
    """What must be known to go on has been missing for too long."""
    held = [one.sentence for one in absences(observed) if one.action is Action.HOLD and now >= one.due]
    if not held:
        return None
    return Wait(RolloutReason.HOLDING, f"{'; '.join(held)}. Send promote or abort, or restore the measurements")


def failed_and_held(observed: Observed, now: datetime) -> Wait | None:
    """A metric has failed, and its onFail gives people time to look before the candidate is taken back."""
    held = next((failure for failure in failures(observed) if failure.rule is not None), None)
    if held is None:
        return None
    verdict, due, candidate = held.verdict, held.due, observed.status.candidate
    meanwhile = f"until {format_instant(due)}, then it is taken back" if due is not None else "until somebody decides"
    return Wait(
        RolloutReason.VERDICT_FAILED,
        f"{candidate.policy if candidate else 'the candidate'} fails: {verdict.metric}: {verdict.message}. It stays at "
        f"its weight {meanwhile}, because the metric's onFail says so. Send abort to take it back now, or promote to "
        "keep it",
        due - now if due is not None else None,
        stalled=True,
    )


def nothing_to_compare_with(observed: Observed, now: datetime) -> Wait | None:
    """Stable is lost: only a person, by the command promote, may say that the candidate takes its place."""
    kind = kind_under_way(observed)
    if not observed.stable_lost or kind is None or not kind.judged or observed.status.stable is None:
        return None
    return Wait(RolloutReason.STABLE_LOST, f"{observed.status.stable.policy} is lost", stalled=True)


def nobody_approved(observed: Observed, now: datetime) -> Wait | None:
    """A step that asks for Pass would be left without one against the anchor, where a person has to say so."""
    kind = kind_under_way(observed)
    return approval_in_place_of_the_anchor(observed, now) if kind is not None and kind.asks_for_pass else None


def person_holds(observed: Observed, now: datetime) -> Wait | None:
    """A person has sent `pause`: the candidate stays where it is. What a person promotes, or the way back, goes on."""
    paused, kind = observed.status.paused, kind_under_way(observed)
    if paused is None or (kind is not None and not kind.judged):
        return None
    message = f"held here by the command pause@{paused.command}, and judged on. Send resume, promote or abort"
    return Wait(RolloutReason.PAUSED, message)


def outside_windows(observed: Observed, now: datetime) -> Wait | None:
    """None of the windows is open: a candidate gets more only by a person's word, or where it is the way back."""
    status, kind, windows = observed.status, kind_under_way(observed), observed.spec.windows
    if status.stable is None or (kind is not None and not kind.judged) or _goes_back(observed):
        return None
    if not windows or is_open(windows, now):
        return None
    opens = next_opening(windows, now)
    when = "none opens in the next weeks" if opens is None else f"the next opens at {format_instant(opens)}"
    if status.candidate is None:
        words = f"outside spec.windows no candidate is taken up: {when}. To begin before, change spec.windows"
    else:
        words = (
            f"outside spec.windows {status.candidate.policy} gets no more traffic by itself: {when}. It keeps its "
            "weight and is judged on; the command promote is not barred"
        )
    return Wait(RolloutReason.OUTSIDE_WINDOWS, words, None if opens is None else opens - now)


def _goes_back(observed: Observed) -> bool:
    """Whether the spec wants the version before, while that is warm."""
    previous, wanted = observed.status.previous, observed.policies.get(observed.wanted)
    if observed.status.candidate is not None or previous is None or wanted is None:
        return False
    return (wanted.name, wanted.digest) == (previous.policy, previous.digest)


def group_to_wait_for(observed: Observed) -> GroupSpec | None:
    """The group in which a place comes before the next candidate; None before the first version, and the way back."""
    return None if observed.status.stable is None or _goes_back(observed) else observed.spec.group


def no_place_in_group(observed: Observed, now: datetime) -> Wait | None:
    """Too many others of the group have a candidate, or a place that was taken is not written yet."""
    spec, place = group_to_wait_for(observed), observed.status.group
    if spec is None:
        return None
    taken = place is not None and place.granted_at is not None
    if taken and place == observed.recorded.group and is_free(spec, observed.group):
        return None
    return Wait(
        RolloutReason.GROUP_FULL,
        f"waiting for a place in the group {spec.name}, of which {spec.limit} may have a candidate at once",
    )


def steps_unusable(observed: Observed, now: datetime) -> Wait | None:
    """The steps come from elsewhere and cannot be carried out: no trial begins. The way back takes no steps."""
    progression = observed.progression
    return None if progression is None or _goes_back(observed) else progression.fault


def barred_by_a_step(observed: Observed, now: datetime) -> Wait | None:
    """A step to come could not go well as things are. The first version and the way back take none of these."""
    if observed.status.stable is None or _goes_back(observed):
        return None
    return next((bar for step in observed.spec.steps if (bar := KINDS[step.kind].bars(step, observed))), None)


def endpoints_still_closed(observed: Observed, now: datetime) -> Wait | None:
    """The route without the version taken back before is not accepted yet, and its endpoints are closed until then.

    The record of that is the rollback's, and taking up another candidate would forget it.
    """
    rollback = observed.status.rollback
    if rollback is None or rollback.endpoints_closed_at is None or rollback.weight_zero_at is not None:
        return None
    message = f"waiting until the route without {rollback.policy} is accepted; its endpoints stay closed until then"
    return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, message)


def episodes_outlast_grace(observed: Observed, now: datetime) -> Wait | None:
    """A comparison that would tell of a regression is blind, because grace is too short: no step goes on unseen.

    It ends by itself where few episodes were late after all, else by a longer grace or a command. What the step waits
    for itself is told first, so this gate is asked last.
    """
    blind = next((v for v in observed.verdicts or () if v.grace_too_short and not v.dry_run), None)
    if blind is None:
        return None
    down = blind.verdict is Verdict.PROVIDER_DOWN
    words = f"episodes took longer than analysis.grace; now {blind.message}" if down else blind.message
    return Wait(RolloutReason.GRACE_TOO_SHORT, f"{blind.metric}: {words}")


def episodes_of_arms(observed: Observed, now: datetime) -> Wait | None:
    """What arms of an experiment began goes on with them and ends first; a winner on the route takes its own along.

    A route has rules for so many versions, and arms may need nearly all of them.
    """
    status = observed.status
    answering = [arm for arm in status.arms if arms.answers_its_episodes(arm, now)]
    if not answering or _goes_back(observed) or kept_share(observed.spec, status, observed.wanted):
        return None
    left = max((arm.episodes_until - now for arm in answering if arm.episodes_until is not None), default=None)
    names = ", ".join(arm.policy for arm in answering)
    message = f"waiting until the episodes have ended that {names} began in the experiment"
    return Wait(RolloutReason.PREPARING, message, left)


BEFORE_A_PLACE: tuple[Gate, ...] = (
    steps_unusable,
    barred_by_a_step,
    endpoints_still_closed,
    approval_needed,
    outside_windows,
    episodes_of_arms,
)
TAKING_UP: tuple[Gate, ...] = (*BEFORE_A_PLACE, no_place_in_group)
LEAVING_A_STEP: tuple[Gate, ...] = (
    failed_and_held,
    nothing_to_compare_with,
    person_holds,
    nobody_approved,
    measurements_missing,
)
MORE_TRAFFIC: tuple[Gate, ...] = (person_holds, outside_windows)


def first_closed(gates: tuple[Gate, ...], observed: Observed, now: datetime) -> Wait | None:
    """Return what the first gate that does not let through waits for; None: the way is free."""
    return next((wait for gate in gates if (wait := gate(observed, now)) is not None), None)
