"""A verdict has stayed away for longer than the spec allows, and the spec says that this takes the candidate back."""

from datetime import datetime

from belay_api.rollout.analysis import HoldAction
from belay_operator.rollout import withdrawal
from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.patience import absences


def act(observed: Observed, now: datetime) -> Move | None:
    """Withdraw the candidate."""
    if observed.rolling_back or not withdrawal.somebody_else_answers(observed):
        return None
    for absence in absences(observed):
        if absence.action is HoldAction.ROLLBACK and now >= absence.due:
            return withdrawal.begin(
                observed, now, reason=str(absence.verdict), message=absence.sentence, metric=absence.metric
            )
    return None
