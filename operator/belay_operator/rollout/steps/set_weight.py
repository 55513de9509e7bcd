"""`setWeight`: this share of new episodes goes to the candidate.

Recorded first, then on the route. Never raised while the candidate lacks ready pods; lowering asks nobody. Over when
the Gateway has accepted the route at its latest generation.
"""

from datetime import datetime, timedelta

from belay_api.reasons import RolloutReason
from belay_api.rollout import RLRolloutStatus, Step, WeightStatus
from belay_operator.rollout import build
from belay_operator.rollout.move import Move, Wait, changed
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.traffic.router import Answer

ANSWER_TIME = timedelta(seconds=10)  # a Gateway usually answers within 0.2 s; after this its silence is told

NO_GATEWAY_API = (
    "this cluster serves no HTTPRoute (gateway.networking.k8s.io/v1); install the Gateway API and a controller for it"
)


class SetWeight:
    """The StepKind."""

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Record the weight, if the candidate can carry it."""
        wanted, weight = float(step.set_weight or 0), observed.status.weight
        if weight is not None and weight.desired == wanted:
            return None
        if wanted > (weight.desired if weight else 0) and not has_capacity(observed):
            return None
        recorded = WeightStatus(desired=wanted, applied=weight.applied if weight else None)
        return Move(changed(observed.status, weight=recorded, pinned=_places(observed.status)))

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for capacity, then for the Gateway."""
        weight, started = observed.status.weight, observed.status.step
        if weight is None or weight.desired != float(step.set_weight or 0):
            return short_of_pods(observed, "the weight is not raised")
        if observed.gateway_api and build.in_force(observed, now):
            return None
        return unaccepted(observed, now, since=started.started_at if started else now)


def unaccepted(observed: Observed, now: datetime, *, since: datetime) -> Wait:
    """Return the wait for the Gateway, told as a problem once it is one."""
    if not observed.gateway_api:
        return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, NO_GATEWAY_API, stalled=True)
    if observed.route is not None and not observed.route.ours:
        message = (
            f"the HTTPRoute {observed.owner.name} belongs to another object; it is not changed. Delete or rename it"
        )
        return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, message)
    # A Gateway that has judged an earlier generation is there and will answer; one that never spoke may not exist.
    answer = observed.route.answer if observed.route is not None and build.in_place(observed, now) else Answer.PENDING
    left = ANSWER_TIME - (now - since)
    if observed.route is not None and (answer is Answer.REFUSED or (answer is Answer.SILENT and left <= timedelta())):
        return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, observed.route.message)
    message = "waiting for the Gateway to accept the route"
    return Wait(RolloutReason.PROGRESSING, message, left if left > timedelta() else None)


def _places(status: RLRolloutStatus) -> list[str]:
    """Give the candidate a rule of its own: its old one, that of a version that serves no more, or a further one."""
    pinned, candidate = status.pinned, status.candidate
    if candidate is None or candidate.policy in pinned:
        return pinned
    serving = {side.policy for side in (status.stable, status.previous) if side is not None}
    place = next((i for i, policy in enumerate(pinned) if policy not in serving), len(pinned))
    return [*pinned[:place], candidate.policy, *pinned[place + 1 :]]


def has_capacity(observed: Observed) -> bool:
    """Whether the candidate has the pods it needs."""
    policy = observed.policy(observed.status.candidate)
    return policy is not None and policy.has_capacity


def short_of_pods(observed: Observed, what: str) -> Wait:
    """Return the wait for ready pods; `what`: does not happen for the lack of them."""
    candidate = observed.status.candidate
    policy = observed.policy(candidate)
    name = candidate.policy if candidate else "the candidate"
    needed = policy.needed_replicas if policy else observed.spec.replicas
    return Wait(
        RolloutReason.WAITING_FOR_CAPACITY,
        f"{what}: {name} has fewer than {needed} ready replicas",
    )
