"""A trial is to be held against the anchor as well: it gets pods, then part of stable's traffic, and lets go of both.

    recorded (its pods start) ──▶ on the route while it has pods ──▶ off the route ──▶ its episodes end ──▶ let go

It is off the route at once when its last pod goes, and never keeps a trial waiting: a Pass does (see `anchored`). Its
pods go only when a route that leads to it no more is in force, and the episodes that it began had their time to end.
"""

from datetime import datetime, timedelta

from belay_api.rollout.status import ServedAnchorStatus
from belay_operator.rollout import anchor, route
from belay_operator.rollout.move import Move, changed, instant
from belay_operator.rollout.observed import Observed


def act(observed: Observed, now: datetime) -> Move | None:
    """Record the next of these; a rollback is left alone: it takes the anchor off the route itself."""
    status, served = observed.status, observed.status.served_anchor
    if observed.rolling_back:
        return None
    if served is None:
        return _take_up(observed, now)
    if served.policy not in observed.policies or (served.until is not None and now >= served.until):
        return Move(changed(status, served_anchor=None))
    needed = anchor.same(served, anchor.needed(observed))
    if served.until is not None:
        early = now < served.until - route.WARM_LEAD
        return _record(observed, served, until=None, since=instant(now)) if needed and early else None
    return _on_route(observed, served, now, needed=needed)


def times(observed: Observed, now: datetime) -> list[timedelta]:
    """Return when its rule goes, when it is let go, and when it has been without pods for too long."""
    served = observed.status.served_anchor
    if served is None:
        return []
    if served.until is not None:
        return [served.until - route.WARM_LEAD - now, served.until - now]
    return [] if served.on_route else [anchor.time_left(observed, served, now)]


def _take_up(observed: Observed, now: datetime) -> Move | None:
    wanted = anchor.needed(observed)
    if wanted is None or anchor.unservable(observed, now) is not None:
        return None
    at = instant(now)
    served = ServedAnchorStatus(policy=wanted.policy, digest=wanted.digest, since=at, changed_at=at)
    return Move(changed(observed.status, served_anchor=served))


def _on_route(observed: Observed, served: ServedAnchorStatus, now: datetime, *, needed: bool) -> Move | None:
    """Put it on the route, take it off, or give it its time where it is not needed any more."""
    on_route = needed and _answers(observed, served)
    if on_route != served.on_route:
        return _record(observed, served, on_route=on_route, changed_at=instant(now))
    if needed or not _off_route(observed, served, now):
        return None
    return _record(observed, served, until=instant(now) + observed.spec.analysis.grace + route.WARM_LEAD)


def _answers(observed: Observed, served: ServedAnchorStatus) -> bool:
    """Whether traffic may go to it: it takes all its pods to begin, and one to go on."""
    policy = observed.policies[served.policy]
    if policy.digest != served.digest or policy.broken is not None or observed.stable_lost:
        return False
    if served.on_route:
        return policy.ready_replicas > 0
    return policy.has_capacity and not anchor.comes_and_goes(observed.status)


def _off_route(observed: Observed, served: ServedAnchorStatus, now: datetime) -> bool:
    """Whether no new episode begins there, and whoever carries traffic has accepted that."""
    there = route.intent(observed, now)
    leads = there is not None and any(policy == served.policy for policy, _ in there.shares)
    return not leads and (there is None or route.in_force(observed, now))


def _record(observed: Observed, served: ServedAnchorStatus, **fields: object) -> Move:
    status = changed(observed.status, served_anchor=served.model_copy(update=fields))
    if status.weight is None:
        return Move(status)
    return Move(changed(status, pinned=route.places(status)))
