"""Where the preview address leads, which is no part of the trial.

    a candidate is on trial, from its first step on   to it alone, whatever its weight
    it is taken back                                  to stable, by the same pass that records the intent
    taken back, and kept to be looked at              to it again, until its pods go
    else                                              to stable; to nobody where there is none

It follows from status, as the route does. Nothing waits for it: a weight is in force, and a rollback is proven, by the
route of everybody. What comes by it names no rollout to the pods, so it is nobody's evidence, and it is never mirrored
(docs/decisions/075).
"""

from datetime import datetime, timedelta

from belay_api.rollout.status import RLRolloutStatus
from belay_operator.engine.plan import Manifest, Ref
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.route import WARM_LEAD, differences
from belay_operator.rollout.traffic.router import Acceptance, Intent


def leads_to(observed: Observed, now: datetime) -> str | None:
    """Return the policy that answers at the preview address; None: nobody, or the spec has no such address."""
    if observed.preview is None or not observed.preview.wanted:
        return None
    status = observed.status
    versions = (_on_trial(status), _kept(status, now), status.stable.policy if status.stable is not None else None)
    # The Gateway would refuse a rule that leads to what is gone.
    return next((name for name in versions if name is not None and _is_there(observed, name)), None)


def changes(observed: Observed, now: datetime) -> tuple[tuple[Manifest, ...], tuple[Ref, ...]]:
    """Return what must be applied and deleted for the preview address to lead there; what is foreign stays."""
    preview = observed.preview
    if preview is None:
        return (), ()
    policy = leads_to(observed, now)
    intent = None if policy is None else Intent(shares=((policy, 100.0),), pinned=(), told=False)
    return differences(preview.router, preview.traffic, intent)


def fault(observed: Observed, now: datetime) -> str | None:
    """Return why the preview address does not work, as a sentence; None: it does, or an answer is on its way."""
    preview = observed.preview
    if preview is None or leads_to(observed, now) is None or not preview.traffic.installed:
        return None
    traffic, in_place = preview.traffic, changes(observed, now) == ((), ())
    refused = in_place and (traffic.acceptance is Acceptance.REFUSED or bool(traffic.warning))
    trouble = (
        preview.router.trouble(traffic, in_place=in_place, waited=timedelta()) if refused or traffic.foreign else None
    )
    return None if trouble is None else f"the preview address does not work: {trouble.message}"


def times(observed: Observed, now: datetime) -> list[timedelta]:
    """Return when it leads elsewhere by time alone."""
    kept, preview = observed.status.kept, observed.preview
    return [] if kept is None or preview is None or not preview.wanted else [kept.until - WARM_LEAD - now]


def _on_trial(status: RLRolloutStatus) -> str | None:
    """The candidate from its first step on, which begins once it has its pods, until a rollback is recorded."""
    if status.candidate is None or status.step is None or status.rolling_back:
        return None
    return status.candidate.policy


def _kept(status: RLRolloutStatus, now: datetime) -> str | None:
    """The candidate taken back last, while people may look at it and its endpoints are open."""
    kept, rollback = status.kept, status.rollback
    if kept is None or now >= kept.until - WARM_LEAD:
        return None
    closed = rollback is not None and rollback.policy == kept.policy and rollback.endpoints_closed_at is not None
    return None if closed and rollback is not None and rollback.weight_zero_at is None else kept.policy


def _is_there(observed: Observed, policy: str) -> bool:
    return policy in observed.policies
