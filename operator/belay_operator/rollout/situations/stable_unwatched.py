"""A source by which the stable version is watched says nothing for minutes: it is told, once, until it is over.

An alarm that cannot ring looks the same as one that has no cause. Nothing follows by itself: who is not seen has not
done worse.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from belay_api.conditions import clear_condition, get_condition
from belay_api.reasons import EventReason, RolloutReason
from belay_api.units import format_instant
from belay_operator.rollout import unwatched
from belay_operator.rollout.move import Move, changed, note, raised
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.unwatched import PATIENCE, UNWATCHED


def act(observed: Observed, now: datetime) -> Move | None:
    """Set the condition once patience is over, and take it away when all are heard of."""
    status, stood = observed.status, get_condition(observed.status.conditions, UNWATCHED)
    if status.stable is None:
        return None
    known = observed.silences.get(status.stable.policy, {})
    message = "; ".join(
        f"nothing is heard of {metric} since {format_instant(one.since)}: {one.why}"
        for metric, one in unwatched.long(known, now)
    )
    if not message:
        # What is left out of a spec that cannot be carried out may be what is silent.
        if stood is None or observed.unfit is not None:
            return None
        if not unwatched.is_over(known, observed.spec.analysis):
            return None
        return Move(changed(status, conditions=clear_condition(list(status.conditions), UNWATCHED)))
    message += ". Until it is, nobody is told whether the stable version does worse"
    if stood is not None and stood.message == message:
        return None
    told = changed(status, conditions=raised(observed, UNWATCHED, RolloutReason.STABLE_UNWATCHED, message, now))
    return Move(told, () if stood is not None else (note(EventReason.STABLE_UNWATCHED, message, warning=True),))


def times(observed: Observed, now: datetime) -> Iterator[timedelta]:
    """Yield how much patience is left with each that is silent."""
    stable = observed.status.stable
    known = observed.silences.get(stable.policy, {}) if stable is not None else {}
    return (one.since + PATIENCE - now for one in known.values() if one is not None)
