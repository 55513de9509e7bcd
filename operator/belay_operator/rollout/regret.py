"""What the candidate has cost so far, as status stores it, and what the next higher weight risks.

It rests on the reading that the verdicts rest on, counted over the whole rollout. Without a reading of this trial (the
operator has just started, or nobody answers) what is on record stands, as long as its metric is defined as it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from belay_api.rollout.regret import RegretStatus, RiskStatus
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.steps import Step
from belay_api.wire import Statistics
from belay_operator.rollout.analysis.queries import definition_of, judged
from belay_operator.rollout.analysis.regret import Regret
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.stored import for_people
from belay_operator.rollout.verdicts import is_judged, judgement_of

PACE_OVER = timedelta(hours=1)  # of the episodes that begin


@dataclass(frozen=True, slots=True)
class Stay:
    """A weight and how long the spec may keep the candidate there."""

    weight: float  # percent
    time: timedelta


def regret(observed: Observed) -> RegretStatus | None:
    """Return what the candidate has lost; None: nothing was compared."""
    status, analysis, metric = observed.status, observed.spec.analysis, observed.spec.analysis.counts_regret
    if metric is None or status.stable is None or not is_judged(observed):
        return None
    definition, reading = definition_of(metric, analysis), observed.readings.get(metric.name)
    if reading is None or reading.problem is not None or reading.at is None:
        return _recorded(observed, definition)
    ask = judgement_of(metric, observed)
    lost = None if ask is None else judged(ask, reading).regret
    if lost is None:
        return None
    return RegretStatus(
        metric=metric.name,
        definition=definition,
        estimate=for_people(lost.estimate),
        low=for_people(lost.low),
        high=for_people(lost.high),
        episodes=lost.episodes,
        next=_risk(observed, lost, reading),
        at=reading.at,
    )


def next_stay(spec: RLRolloutSpec, *, after: int, weight: float) -> Stay | None:
    """Return the next higher weight at which the candidate stays for a time; None: there is none.

    Args:
        after: Index of the step under way.
        weight: What the candidate has, in percent.
    """
    stays = (stay for stay in _stays(spec, after) if stay.weight > weight and stay.time > timedelta())
    return next(stays, None)


def _stays(spec: RLRolloutSpec, after: int) -> Iterator[Stay]:
    """Yield the weights to come; the last is all traffic, which the bake keeps."""
    at, time = None, timedelta()  # None: still the weight of now
    for step in spec.steps[after + 1 :]:
        if step.set_weight is None:
            time += _longest(step, spec)
            continue
        if at is not None:
            yield Stay(at, time)
        at, time = float(step.set_weight), timedelta()
    if at is not None and at < 100:
        yield Stay(at, time)
    yield Stay(100.0, spec.bake.duration + (time if at == 100 else timedelta()))


def _longest(step: Step, spec: RLRolloutSpec) -> timedelta:
    """How long a step may last, by the spec; nothing where only a person or a Job ends it."""
    if step.pause is not None:
        return step.pause.duration or timedelta()
    if step.approve is not None:
        return step.approve.timeout or timedelta()
    if step.together is not None:
        return step.together.timeout or timedelta()
    if step.analyze is not None:
        return step.analyze.timeout or spec.analysis.on_not_enough_samples.after
    return timedelta()


def _risk(observed: Observed, lost: Regret, reading: Reading) -> RiskStatus | None:
    weight, step = observed.status.weight, observed.status.step
    if weight is None or weight.segment is not None:  # how many episodes of all users begin is not known then
        return None
    if step is None or reading.windows is None or reading.outcome_query is None:
        return None
    stay = next_stay(observed.spec, after=step.index, weight=weight.desired)
    pace = _per_second(reading.windows, timedelta(seconds=reading.outcome_query.grace_s))
    if stay is None or pace is None:
        return None
    episodes = pace * stay.time.total_seconds() * stay.weight / 100
    at_most = max(lost.high / lost.episodes, 0.0) * episodes
    return RiskStatus(
        weight=stay.weight, time=stay.time, episodes=round(for_people(episodes)), at_most=for_people(at_most)
    )


def _per_second(statistics: Statistics, grace: timedelta) -> float | None:
    """How many episodes of all versions began in a second of late; None: too little is known."""
    windows = [window for side in statistics.versions for window in side.windows]
    if not windows:
        return None
    told_until = statistics.at - grace  # what began later is not told yet
    since = max(min(window.start for window in windows), told_until - PACE_OVER)
    if told_until <= since:
        return None
    begun = sum(window.count + window.missing for window in windows if window.start >= since)
    return begun / (told_until - since).total_seconds() if begun else None


def _recorded(observed: Observed, definition: str) -> RegretStatus | None:
    old = observed.status.regret
    return old if old is not None and old.definition == definition else None
