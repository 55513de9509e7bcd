"""Sentences that several situations share."""

from belay_api.names import FAMILY_LABEL
from belay_operator.rollout.observed import Observed

UNATTENDED = "its pods are kept, but nobody scales or mends them. Create it again as it was"
"""Of a stable version whose RLPolicy was deleted."""


def nothing_to_serve(observed: Observed) -> str:
    """Return why there is no policy that the spec wants to serve."""
    ref = observed.spec.policy
    if ref.winner_of is not None:
        return _no_winner(observed)
    if ref.latest_of is None:
        return f"spec.policy.name: there is no RLPolicy {ref.name} in this namespace"
    return (
        f"spec.policy.latestOf: no RLPolicy in this namespace with the label {FAMILY_LABEL}: {ref.latest_of} is Ready "
        "and was not rolled back here"
    )


def _no_winner(observed: Observed) -> str:
    if observed.status.stable is None:
        return (
            "spec.policy.winnerOf compares its arms with a stable version, and there is none: name a first one in "
            "spec.policy.name, and let them compete once it serves"
        )
    return f"spec.policy.winnerOf: {observed.wanted} has won, and there is no RLPolicy of that name any more"


def meanwhile(observed: Observed) -> str:
    """Return who serves until the situation is over; never that a version serves which has no pod that answers."""
    stable, policy = observed.status.stable, observed.policy(observed.status.stable)
    if stable is None:
        return "nothing is served yet"
    if policy is None or policy.ready_replicas == 0:
        return f"{stable.policy} is stable and has no pod that answers"
    weight, rollback = observed.status.weight, observed.status.rollback
    shared = weight is not None and weight.desired > 0 and rollback is None  # a winner that keeps its share
    return f"{stable.policy} serves {'the rest of the' if shared else 'all'} traffic"
