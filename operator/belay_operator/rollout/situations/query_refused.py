"""A metric asks what nobody can answer: a query that does not parse, or gives several series.

It is told, with the words of whoever was asked. The metric's verdict is NoData meanwhile, and what follows is the
spec's to say (`patience`).
"""

from datetime import datetime

from belay_api.conditions import clear_condition, get_condition
from belay_api.reasons import EventReason, RolloutReason
from belay_operator.rollout.move import Move, changed, note, raised
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.verdicts import is_judged

QUERY_REFUSED = "QueryRefused"


def act(observed: Observed, now: datetime) -> Move | None:
    """Set the condition while a query is refused, and take it away when none is, or nobody is judged."""
    conditions = observed.status.conditions
    known = get_condition(conditions, QUERY_REFUSED)
    message = _message(observed)
    if message is None:
        # Without an answer to all, as after a restart of the operator, what was said still stands.
        over = not is_judged(observed) or _all_answered(observed)
        if known is None or not over:
            return None
        return Move(changed(observed.status, conditions=clear_condition(conditions, QUERY_REFUSED)))
    if known is not None and known.message == message:
        return None
    told = raised(observed, QUERY_REFUSED, RolloutReason.QUERY_REFUSED, message, now)
    event = note(EventReason.QUERY_REFUSED, message, warning=True)
    return Move(changed(observed.status, conditions=told), (event,))


def _message(observed: Observed) -> str | None:
    """Which metrics, and the words; None: no query is refused."""
    if not is_judged(observed):
        return None
    refused = [
        f"{metric.name}: {reading.absence}"
        for metric in observed.spec.analysis.metrics
        if (reading := observed.readings.get(metric.name)) is not None and reading.refused
    ]
    return f"{'; '.join(refused)}. Correct the query in spec.analysis" if refused else None


def _all_answered(observed: Observed) -> bool:
    return all(
        metric.source.prometheus is None or (reading is not None and reading.problem is None)
        for metric in observed.spec.analysis.metrics
        for reading in [observed.readings.get(metric.name)]
    )
