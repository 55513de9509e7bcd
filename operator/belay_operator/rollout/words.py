"""Sentences that several situations share."""

from belay_operator.rollout.observed import Observed


def meanwhile(observed: Observed) -> str:
    """Return who serves until the situation is over; never that a version serves which has no pod that answers."""
    stable, policy = observed.status.stable, observed.policy(observed.status.stable)
    if stable is None:
        return "nothing is served yet"
    if policy is None or policy.ready_replicas == 0:
        return f"{stable.policy} is stable and has no pod that answers"
    return f"{stable.policy} serves all traffic"
