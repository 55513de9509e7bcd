"""Sentences that several situations share."""

from belay_api.names import FAMILY_LABEL
from belay_operator.rollout.observed import Observed


def nothing_to_serve(observed: Observed) -> str:
    """Return why there is no policy that the spec wants to serve."""
    ref = observed.spec.policy
    if ref.latest_of is None:
        return f"spec.policy.name: there is no RLPolicy {ref.name} in this namespace"
    return (
        f"spec.policy.latestOf: no RLPolicy in this namespace with the label {FAMILY_LABEL}: {ref.latest_of} is Ready "
        "and was not rolled back here"
    )


def meanwhile(observed: Observed) -> str:
    """Return who serves until the situation is over; never that a version serves which has no pod that answers."""
    stable, policy = observed.status.stable, observed.policy(observed.status.stable)
    if stable is None:
        return "nothing is served yet"
    if policy is None or policy.ready_replicas == 0:
        return f"{stable.policy} is stable and has no pod that answers"
    return f"{stable.policy} serves all traffic"
