"""The spec no longer wants the candidate: it is withdrawn, which says nothing against it."""

from datetime import datetime

from belay_operator.rollout import withdrawal
from belay_operator.rollout.move import Move
from belay_operator.rollout.no_evidence import SUPERSEDED
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.words import nothing_to_serve


def act(observed: Observed, now: datetime) -> Move | None:
    """Withdraw the candidate, unless nobody else answers: stable is lost, or it is the first version."""
    candidate = observed.status.candidate
    if candidate is None or observed.rolling_back or candidate.policy == observed.wanted:
        return None
    if not withdrawal.somebody_else_answers(observed):
        return None
    return withdrawal.begin(observed, now, reason=SUPERSEDED, message=_wish(observed))


def _wish(observed: Observed) -> str:
    if observed.wanted == "":
        return nothing_to_serve(observed)
    if observed.spec.policy.winner_of is not None:
        return f"of spec.policy.winnerOf, {observed.wanted} shall serve now"
    family = observed.spec.policy.latest_of
    if family is None:
        return f"spec.policy.name is {observed.wanted} now"
    return f"of spec.policy.latestOf, the family {family}, {observed.wanted} shall serve now"
