"""The one object a rollout makes: its HTTPRoute, as it follows from status.

Nothing here asks what the route was before. Whatever is recorded in status determines the route completely (but for
a stable version whose RLPolicy was deleted, which no rule can lead to), so a crash, a lost write or a stranger's edit
all end the same way: the next pass writes this route.
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


def intent(status: RLRolloutStatus, now: datetime, *, stable_lost: bool = False) -> Intent | None:
    """Return where requests shall go; None: there is no version that ever may serve.

    Args:
        stable_lost: The RLPolicy of the stable version exists no more: a rule for its episodes would make the Gateway
            refuse the route, and with it the version that is to take over.
    """
    stable, candidate = status.stable, status.candidate
    # Without a recorded weight the candidate has not been asked for.
    on_trial = candidate.policy if candidate and status.weight and not _withdrawn(status) else None
    share = status.weight.desired if on_trial and status.weight else 0.0
    if stable is None:
        if on_trial is None or share == 0:
            return None
        return Intent(shares=((on_trial, 100.0),), pinned=tuple((policy, on_trial) for policy in status.pinned))

    shares = [(stable.policy, 100.0 - share)] + ([(on_trial, share)] if on_trial else [])
    serving = {on_trial, _warm(status, now, replaced=share == 100)} | (set() if stable_lost else {stable.policy})
    home = on_trial if on_trial and stable_lost else stable.policy
    return Intent(
        shares=tuple((policy, s) for policy, s in shares if s > 0),
        # A rule is never taken away: whose version serves no more points at stable (see GatewayRouter).
        pinned=tuple((policy, policy if policy in serving else home) for policy in status.pinned),
    )


def _withdrawn(status: RLRolloutStatus) -> bool:
    return status.rollback is not None and status.rollback.drained_at is None


def _warm(status: RLRolloutStatus, now: datetime, *, replaced: bool) -> str | None:
    """The version before stable, while its episodes may stay; `replaced`: the candidate is about to become stable."""
    previous, candidate = status.previous, status.candidate
    if previous is None or now >= previous.until - WARM_LEAD:
        return None
    if candidate is not None and candidate.policy == previous.policy:
        return None if _withdrawn(status) else previous.policy
    # It leaves the route before a promotion makes its pods go.
    return None if replaced else previous.policy


def route(observed: Observed, now: datetime) -> Manifest | None:
    """Return the HTTPRoute that status asks for; None: there must be none."""
    wanted = intent(observed.status, now, stable_lost=observed.stable_lost)
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
