"""How often, and where, does the policy violate what the environment calls a constraint?"""

from collections.abc import Iterator, Sequence

import numpy as np

from belay_api.environment import EnvironmentSpec
from belay_api.gates import ConstraintsGate
from belay_api.reasons import Verdict
from belay_api.words import did_you_mean
from belay_trainer.environments import Environment
from belay_trainer.validation.bounds import Floats, mean_bounds
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.episodes import Trace
from belay_trainer.validation.measurement import LOOKS, Measurement, judge_mean
from belay_trainer.validation.subject import Subject

TITLE = "Constraints"
SHOWN = 5  # episodes with violations that are listed
COUNT, RATE = "violations", "episodes with a violation"  # what is measured


def fit(settings: ConstraintsGate, environment: Environment, task: EnvironmentSpec) -> None:
    """See `Check`: what `info` holds is seen when it is played."""


def measure(settings: ConstraintsGate, subject: Subject) -> CheckResult:
    """See `Check`."""
    subject.reference.returns(settings.episodes)
    unknown = [key for key in settings.costs if key not in subject.reference.keys]
    if unknown:
        return CheckResult((_nothing_to_count(unknown, settings, subject),))
    found = []
    if settings.max_violations is not None:
        found.append(_count(settings, settings.max_violations, subject))
    if settings.max_rate is not None:
        found.append(_rate(settings, settings.max_rate, subject))
    episodes = max(one.episodes or 0 for one in found)
    return CheckResult(tuple(found), tuple(_notes(subject, settings, episodes)))


def _nothing_to_count(unknown: Sequence[str], settings: ConstraintsGate, subject: Subject) -> Measurement:
    known = sorted(subject.reference.keys)
    advice = did_you_mean(unknown[0], known) if known else "It is empty."
    message = (
        f"{COUNT}: in {settings.episodes} episodes `info` never had {', '.join(unknown)}. {advice} The environment "
        "must tell each cost at every timestep, 0 where nothing is violated."
    )
    return Measurement(COUNT, Verdict.NO_DATA, message)


def _count(settings: ConstraintsGate, most: int, subject: Subject) -> Measurement:
    traces = subject.reference.traces(settings.episodes)
    total = sum(len(_timesteps(trace, settings.costs)) for trace in traces)
    kept = total <= most
    words = "is kept" if kept else "is not kept"
    message = f"{COUNT}: {total} timesteps in {len(traces)} episodes: maxViolations {most} {words}."
    return Measurement(
        COUNT,
        Verdict.PASS if kept else Verdict.FAIL,
        message,
        value=float(total),
        limit=float(most),
        episodes=len(traces),
    )


def _rate(settings: ConstraintsGate, most: float, subject: Subject) -> Measurement:
    def sample(count: int) -> tuple[Floats, float, float]:
        subject.reference.returns(count)
        return -_violated(subject.reference.traces(count), settings.costs), -1.0, 0.0

    judged = judge_mean(sample, episodes=settings.episodes, limit=-most, confidence=settings.confidence)
    rate = judged.mapped(scale=-100)
    return rate.told(RATE, field="maxRate", confidence=settings.confidence, unit="%")


def _notes(subject: Subject, settings: ConstraintsGate, episodes: int) -> Iterator[str]:
    traces = subject.reference.traces(episodes)
    violated = _violated(traces, settings.costs)
    # Where looks decided how many episodes there are, the bound is of one of so many looks.
    looks = len(LOOKS) if settings.max_rate is not None else 1
    _, most = mean_bounds(violated, low=0.0, high=1.0, alpha=(1 - settings.confidence) / looks)
    yield (
        f"A constraint was violated in {int(violated.sum())} of {episodes} episodes. That proves, with "
        f"{100 * settings.confidence:g} % confidence, only that it is in at most {100 * most:.3g} % of all."
    )
    for episode in np.flatnonzero(violated)[:SHOWN]:
        where = _timesteps(traces[episode], settings.costs)
        shown = ", ".join(map(str, where[:SHOWN])) + (", …" if len(where) > SHOWN else "")
        costs = ", ".join(key for key in settings.costs if key in traces[episode].violations)
        yield f"Reset seed {subject.first_seed + episode}: {len(where)} timesteps ({shown}), by {costs}."


def _violated(traces: Sequence[Trace], costs: Sequence[str]) -> Floats:
    return np.array([float(any(key in trace.violations for key in costs)) for trace in traces])


def _timesteps(trace: Trace, costs: Sequence[str]) -> list[int]:
    """Return the timesteps at which any of the costs was above 0."""
    return sorted({step for key in costs for step in trace.violations.get(key, ())})
