"""A metric asks what nobody can answer until somebody changes something: its query, or what its gateway counts.

It is told with the words of whoever was asked, under the condition that the source names (`Unanswerable`). The metric's
verdict is NoData meanwhile, and what follows is the spec's to say (`patience`).
"""

from collections.abc import Iterator
from datetime import datetime

from belay_api.conditions import clear_condition, get_condition
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.move import Move, changed, note, raised
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.sources import all_sources
from belay_operator.rollout.verdicts import is_judged

UNANSWERABLE = {name: how for name, source in all_sources().items() if (how := source.unanswerable) is not None}
"""By source."""


def act(observed: Observed, now: datetime) -> Move | None:
    """Set the condition while a metric is refused, and take it away when none is, or nobody is judged."""
    return next((move for source in UNANSWERABLE if (move := _told(source, observed, now)) is not None), None)


def _told(source: str, observed: Observed, now: datetime) -> Move | None:
    how, conditions = UNANSWERABLE[source], observed.status.conditions
    known = get_condition(conditions, how.condition)
    message = _message(source, observed)
    if message is None:
        # Without an answer to all, as after a restart of the operator, what was said still stands.
        over = _all_answered(source, observed)
        if known is None or not over:
            return None
        return Move(changed(observed.status, conditions=clear_condition(conditions, how.condition)))
    if known is not None and known.message == message:
        return None
    told = raised(observed, how.condition, how.reason, message, now)
    return Move(changed(observed.status, conditions=told), (note(how.event, message, warning=True),))


def _message(source: str, observed: Observed) -> str | None:
    """Which metrics, and the words; None: none is refused."""
    refused = dict.fromkeys(
        f"{name}: {reading.absence}"
        for name, reading in _readings(source, observed)
        if reading is not None and reading.refused
    )
    return f"{'; '.join(refused)}{UNANSWERABLE[source].advice}" if refused else None


def _all_answered(source: str, observed: Observed) -> bool:
    return all(reading is not None and reading.problem is None for _, reading in _readings(source, observed))


def _readings(source: str, observed: Observed) -> Iterator[tuple[str, Reading | None]]:
    """What is known of each metric of the source: of the candidate, or of the arms; of nobody where none is judged."""
    known = [observed.readings] if is_judged(observed) else observed.arms.values()
    for readings in known:
        for metric in observed.spec.analysis.metrics:
            if metric.source.kind == source:
                yield metric.name, readings.get(metric.name)
