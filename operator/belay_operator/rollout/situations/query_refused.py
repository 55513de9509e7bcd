"""A metric asks what nobody can answer until somebody changes something: its query, or what its gateway counts.

    QueryRefused      source.prometheus   the query does not parse, or gives several series
    GatewayNotSetUp   source.gateway      the proxies are not to be found, or count nothing by endpoint

It is told, with the words of whoever was asked. The metric's verdict is NoData meanwhile, and what follows is the
spec's to say (`patience`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from belay_api.conditions import clear_condition, get_condition
from belay_api.reasons import EventReason, RolloutReason
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.move import Move, changed, note, raised
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.verdicts import is_judged


@dataclass(frozen=True, slots=True)
class _Refusal:
    """How it is told of one source."""

    source: str
    condition: str
    reason: RolloutReason
    event: EventReason
    advice: str  # after the words of whoever was asked; empty: they say it


REFUSALS = (
    _Refusal(
        "prometheus",
        "QueryRefused",
        RolloutReason.QUERY_REFUSED,
        EventReason.QUERY_REFUSED,
        ". Correct the query in spec.analysis",
    ),
    _Refusal("gateway", "GatewayNotSetUp", RolloutReason.GATEWAY_NOT_SET_UP, EventReason.GATEWAY_NOT_SET_UP, ""),
)


def act(observed: Observed, now: datetime) -> Move | None:
    """Set the condition while a metric is refused, and take it away when none is, or nobody is judged."""
    return next((move for one in REFUSALS if (move := _told(one, observed, now)) is not None), None)


def _told(refusal: _Refusal, observed: Observed, now: datetime) -> Move | None:
    conditions = observed.status.conditions
    known = get_condition(conditions, refusal.condition)
    message = _message(refusal, observed)
    if message is None:
        # Without an answer to all, as after a restart of the operator, what was said still stands.
        over = _all_answered(refusal, observed)
        if known is None or not over:
            return None
        return Move(changed(observed.status, conditions=clear_condition(conditions, refusal.condition)))
    if known is not None and known.message == message:
        return None
    told = raised(observed, refusal.condition, refusal.reason, message, now)
    return Move(changed(observed.status, conditions=told), (note(refusal.event, message, warning=True),))


def _message(refusal: _Refusal, observed: Observed) -> str | None:
    """Which metrics, and the words; None: none is refused."""
    refused = dict.fromkeys(
        f"{name}: {reading.absence}"
        for name, reading in _readings(refusal, observed)
        if reading is not None and reading.refused
    )
    return f"{'; '.join(refused)}{refusal.advice}" if refused else None


def _all_answered(refusal: _Refusal, observed: Observed) -> bool:
    return all(reading is not None and reading.problem is None for _, reading in _readings(refusal, observed))


def _readings(refusal: _Refusal, observed: Observed) -> Iterator[tuple[str, Reading | None]]:
    """What is known of each metric of the source: of the candidate, or of the arms; of nobody where none is judged."""
    known = [observed.readings] if is_judged(observed) else observed.arms.values()
    for readings in known:
        for metric in observed.spec.analysis.metrics:
            if metric.source.kind == refusal.source:
                yield metric.name, readings.get(metric.name)
