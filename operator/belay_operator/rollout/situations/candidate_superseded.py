"""The spec no longer names the candidate: it is withdrawn, which says nothing against it."""

from datetime import datetime

from belay_operator.rollout import withdrawal
from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Observed


def act(observed: Observed, now: datetime) -> Move | None:
    """Withdraw the candidate, unless nobody else answers: stable is lost, or it is the first version."""
    candidate = observed.status.candidate
    if candidate is None or observed.rolling_back or candidate.policy == observed.wanted:
        return None
    if not withdrawal.somebody_else_answers(observed):
        return None
    message = f"spec.policy.name is {observed.wanted} now"
    return withdrawal.begin(observed, now, reason=withdrawal.SUPERSEDED, message=message)
