"""The one object a rollout makes: its HTTPRoute, as it follows from status.

Nothing here asks what the route was before. Whatever is recorded in status determines the route completely, so a
crash, a lost write or a stranger's edit all end the same way: the next pass writes this route.
"""

from datetime import datetime, timedelta

from belay_api.names import ROLLOUT_LABEL
from belay_api.rollout import RLRolloutStatus
from belay_operator.children import child_labels
from belay_operator.engine.plan import Manifest
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.traffic.gateway_api import GatewayRouter
from belay_operator.rollout.traffic.router import Intent, Router

# The rule of a warm version goes this long before its pods do, so that no request is sent to pods that are going.
WARM_LEAD = timedelta(seconds=5)

ROUTER: Router = GatewayRouter()


def intent(status: RLRolloutStatus, now: datetime) -> Intent | None:
    """Return where requests shall go; None: there is no version that ever may serve."""
    stable, candidate = status.stable, status.candidate
    withdrawn = status.rollback is not None and status.rollback.drained_at is None
    # Without a recorded weight the candidate has not been asked for: not even its pinned rule exists.
    on_trial = candidate.policy if candidate and status.weight and not withdrawn else None
    share = status.weight.desired if on_trial and status.weight else 0.0
    if stable is None:
        return Intent(shares=((on_trial, 100.0),), pinned=(on_trial,)) if on_trial and share > 0 else None

    shares = [(stable.policy, 100.0 - share)] + ([(on_trial, share)] if on_trial else [])
    # In the order in which they were taken up: a promotion renames the sides and moves no rule (see GatewayRouter).
    pinned = [stable.policy] + ([on_trial] if on_trial else [])
    previous = status.previous
    if previous is not None and now < previous.until - WARM_LEAD:
        # A version being withdrawn keeps no rule under another title, and the one before stable leaves the route
        # before a promotion makes its pods go.
        leaving = withdrawn and candidate is not None and previous.policy == candidate.policy
        replaced = on_trial is not None and share == 100 and previous.policy != on_trial
        pinned = pinned if leaving or replaced else [previous.policy, *pinned]
    return Intent(shares=tuple((policy, s) for policy, s in shares if s > 0), pinned=tuple(dict.fromkeys(pinned)))


def route(observed: Observed, now: datetime) -> Manifest | None:
    """Return the HTTPRoute that status asks for; None: there must be none."""
    wanted = intent(observed.status, now)
    if wanted is None:
        return None
    owner = observed.owner
    labels = child_labels({ROLLOUT_LABEL: owner.name}, observed.labels)
    return ROUTER.manifest(observed.spec.traffic.gateway_api, wanted, owner=owner, labels=labels)


def in_place(observed: Observed, now: datetime) -> bool:
    """Whether the existing route is the one status asks for."""
    wanted = route(observed, now)
    if wanted is None or observed.route is None:
        return wanted is None and observed.route is None
    return observed.route.ours and ROUTER.carries(observed.route, wanted)


def in_force(observed: Observed, now: datetime) -> bool:
    """Whether the route that status asks for exists and every gateway has accepted it."""
    return in_place(observed, now) and (observed.route is None or observed.route.accepted)
