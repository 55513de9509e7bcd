"""What a candidate cost: how often the truth lies outside of `status.regret`, and how much is lost under a `maxRegret`.

    make bench-verdict                 with the rest of it
    python bench/verdict/regret.py     these worlds alone, about a minute of one core; `--quick`: a few seconds

The mean of every episode is known here, so the true regret is. Evidence against it, and against a limit, is that of the
operator's own bets on arrays (`analysis.regret`), after every window and at some looks inside of one; some looks are
put through `queries.judged`, and the two must agree.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np

from belay_api.rollout.margin import Margin
from belay_api.wire import VersionStatistics
from belay_operator.rollout.analysis.bet import Bounds, Earlier, Outcomes
from belay_operator.rollout.analysis.bounds import Range, bounds
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.evidence import Better, Comparison
from belay_operator.rollout.analysis.queries import Criterion, judged
from belay_operator.rollout.analysis.regret import counted, evidence
from verdict import part
from verdict.rules import Flags, Places, Schedule, SoFar, belay, earlier_of, so_far
from verdict.told import earlier_of_version, reading, told_windows
from verdict.world import LONGEST, Episodes, Floats, ar1, path_of

NAME = "regret"
AT_ONCE = 250  # rollouts in memory together
INSIDE = 6  # looks inside of a window, of each world
SAMPLED_LOOKS = 10  # per world, put through the operator's own function


@dataclass(frozen=True, slots=True)
class World:
    """One line of regret.yaml under `worlds`."""

    worse: Floats  # by this share of stable's mean, in equal parts of the time
    weight: float  # the candidate's share
    arrivals_per_s: float
    limits: tuple[float, ...]  # maxRegret
    crashes: float = 0.0  # share of episodes that return nothing; 0: noise is uniform
    common: tuple[float, float] | None = None  # AR(1) of both sides
    own: tuple[float, float] | None = None  # of the candidate alone
    earlier: int | None = None  # stable's episodes before; None: as all

    @classmethod
    def read(cls, worse: list[float], limits: list[float], **rest: Any) -> World:
        """Strict: a misspelt key is an error."""
        return cls(np.array(worse, dtype=np.float64), limits=tuple(limits), **rest)

    @property
    def worse_at_some_time(self) -> bool:
        """Whether the candidate is worse at any time; then it may have cost something."""
        return bool((self.worse > 0).any())


@dataclass(frozen=True, slots=True)
class Drawn:
    """The episodes of many rollouts."""

    candidate: SoFar
    stable: SoFar
    of_candidate: Floats  # the true means, (rollout, bin): of the window so far
    of_stable: Floats
    lost: Floats  # truly, by all episodes of the candidate that had begun at each look, counted or not
    counted: Floats  # of that, by those that count
    known: Floats  # stable's returns before, (rollout, episode)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked in every world."""

    schedule: Schedule
    comparison: Comparison
    false_rollback_rate: float

    @classmethod
    def read(cls, load: dict[str, Any]) -> Asked:
        """From regret.yaml."""
        certain = Range(*map(float, load["range"]))
        comparison = Comparison("return", Better.MORE, Margin(load["margin"], relative=True), certain)
        return cls(Schedule(**load["schedule"]), comparison, load["false_rollback_rate"])

    def error(self, *, limited: bool) -> float:
        """The error of the lower bound, with a maxRegret and without: that of the upper one."""
        budget = split(self.false_rollback_rate, 2 if limited else 1)
        error = budget.regret if limited else budget.wrong_promotion
        if error is None:
            raise ValueError("no part of the error is the limit's")
        return error


def simulate(world: World, load: dict[str, Any], asked: Asked, rollouts: int, rng: np.random.Generator) -> Drawn:
    """Draw episodes whose means are known."""
    schedule, mean = asked.schedule, load["mean"]
    duration, grace = schedule.duration, schedule.grace
    rollout = np.repeat(np.arange(rollouts), rng.poisson(world.arrivals_per_s * duration, rollouts))
    start = rng.random(rollout.size) * duration
    of_candidate = rng.random(rollout.size) < world.weight

    times: Any = {"rollouts": rollouts, "duration": duration, "rng": rng}
    level = np.ones(rollout.size)
    if world.common is not None:
        level += _straying(world.common, rollout, start, **times)
    ours = 1 - world.worse[(start / duration * world.worse.size).astype(int)]
    if world.own is not None:
        ours = ours + _straying(world.own, rollout, start, **times)
    noise = load["cv"] * mean * math.sqrt(3)  # half the width of a uniform one with that deviation
    ends = (noise, load["range"][1] - noise) if not world.crashes else (0.0, load["range"][1] * (1 - world.crashes))
    of_stable, of_ours = (np.clip(mean * it, *ends) for it in (level, level * ours))
    true = np.where(of_candidate, of_ours, of_stable)
    value = _returns(world, true, noise, rng)

    length = np.clip(grace / 2 * value / mean, 5, LONGEST * grace)
    episodes = Episodes(rollout, of_candidate, start, start + length, value)
    means = replace(episodes, value=true)
    sides = [so_far(episodes, candidate=side, schedule=schedule, rollouts=rollouts) for side in (True, False)]
    theirs = [so_far(means, candidate=side, schedule=schedule, rollouts=rollouts).mean for side in (True, False)]
    size = schedule.looks.size
    key = rollout[of_candidate] * size + np.searchsorted(schedule.looks, start[of_candidate])
    each = np.bincount(key, (of_stable - of_ours)[of_candidate], minlength=rollouts * size)
    lost = np.cumsum(each.reshape(rollouts, size), axis=1)
    lag = math.ceil(grace / schedule.look)
    counted_by_then = np.concatenate([np.zeros((rollouts, lag)), lost[:, : size - lag]], axis=1)
    earlier = load["earlier"] if world.earlier is None else world.earlier
    known = _returns(world, np.full(rollouts * earlier, float(mean)), noise, rng).reshape(rollouts, earlier)
    return Drawn(*sides, *theirs, lost, counted_by_then, known)


def _straying(
    how: tuple[float, float],
    rollout: Places,
    start: Floats,
    *,
    rollouts: int,
    duration: float,
    rng: np.random.Generator,
) -> Floats:
    spread, memory = how
    return path_of(ar1(rollouts, spread, memory=memory, duration=duration, rng=rng), rollout, start, memory=memory)


def _returns(world: World, true: Floats, noise: float, rng: np.random.Generator) -> Floats:
    chance = rng.random(true.size)
    if world.crashes:
        return np.where(chance < world.crashes, 0.0, true / (1 - world.crashes))
    return true + noise * (2 * chance - 1)


@dataclass(frozen=True, slots=True)
class Evening:
    """All windows up to one bin, as regret's bets take them: full, but for the last one."""

    candidate: Outcomes
    stable: Outcomes
    bounds: Bounds
    earlier: Earlier | None
    lost: Floats  # truly, after each window; what counts

    @classmethod
    def of(cls, drawn: Drawn, places: Places, asked: Asked) -> Evening:
        """Args: places: the last bin of each window so far."""
        candidate, stable = (side.at(places).outcomes() for side in (drawn.candidate, drawn.stable))
        earlier = earlier_of(drawn.known, None)
        reach = bounds(asked.comparison.certain, asked.comparison.margin, candidate, stable, earlier)
        each = candidate.count * (drawn.of_stable[:, places] - drawn.of_candidate[:, places])
        counts = counted(candidate, stable, reach, earlier)
        return cls(candidate, stable, reach, earlier, np.cumsum(np.where(counts, each, 0.0), axis=1))

    def against(self, lost: Floats, sign: int) -> Floats:
        """Evidence after each window that more was lost; sign -1: less."""
        return evidence(self.candidate, self.stable, self.bounds, self.earlier, lost=lost, sign=sign)


def wrong(drawn: Drawn, asked: Asked, rng: np.random.Generator) -> tuple[Flags, Flags]:
    """Return, by side of the interval, whether it is wrong at any look; and whether at the end.

    Looked at after every window, and inside of some.
    """
    schedule, least = asked.schedule, math.log(1 / asked.error(limited=False))
    ripe = ripe_windows(schedule)
    ends = schedule.last_bins
    found, last = np.zeros((2, drawn.lost.shape[0]), bool), np.zeros((2, drawn.lost.shape[0]), bool)
    inside = [np.append(ends[:at], ends[at] - 1) for at in rng.integers(1, ripe, INSIDE)]
    for places in (*inside, ends[:ripe]):
        evening = Evening.of(drawn, places, asked)
        for side, sign in enumerate((1, -1)):
            said = evening.against(evening.lost, sign) >= least
            found[side] |= said.any(axis=1)
            last[side] = said[:, -1]
    return found, last


def ripe_windows(schedule: Schedule) -> int:
    """Return how many windows are full, and their episodes a grace old, at the last look."""
    return int((schedule.last_bins < schedule.ripe[-1]).sum())


def rolled_back(drawn: Drawn, limit: float, asked: Asked) -> Places:
    """Return the look at which the limit is shown to be exceeded, per rollout; the number of looks: never."""
    schedule = asked.schedule
    ripe = ripe_windows(schedule)
    evening = Evening.of(drawn, schedule.last_bins[:ripe], asked)
    said = evening.against(np.full(evening.lost.shape, limit), 1) >= math.log(1 / asked.error(limited=True))
    look_of_window = np.append(np.searchsorted(schedule.ripe, schedule.last_bins[:ripe] + 1), schedule.looks.size)
    return look_of_window[np.where(said.any(axis=1), said.argmax(axis=1), ripe)]


def agree(drawn: Drawn, asked: Asked, rng: np.random.Generator) -> None:
    """End the run where what the operator calls says something else of what was lost."""
    schedule = asked.schedule
    ripe, least = ripe_windows(schedule), math.log(1 / asked.error(limited=False))
    spend = replace(split(asked.false_rollback_rate, 1), regret=asked.error(limited=False))
    times = timedelta(seconds=schedule.grace), timedelta(seconds=schedule.window)
    for _ in range(SAMPLED_LOOKS):
        rollout, window = int(rng.integers(drawn.lost.shape[0])), int(rng.integers(1, ripe))
        last = schedule.last_bins[window]
        look = int(np.searchsorted(schedule.ripe, last + 1))
        sides = [
            VersionStatistics(
                version=name,
                windows=told_windows(side, rollout, look, schedule),
                earlier=earlier_of_version(drawn.known[rollout]) if name == "stable" else None,
            )
            for name, side in (("candidate", drawn.candidate), ("stable", drawn.stable))
        ]
        asks = Criterion(asked.comparison, "candidate", "stable", spend, times[0], since=None, window=times[1])
        found = judged(asks, reading(look, schedule, *sides)).regret
        evening = Evening.of(drawn, schedule.last_bins[: window + 1], asked)
        about = (evening.candidate.count * (evening.stable.mean - evening.candidate.mean))[rollout]
        counts = counted(evening.candidate, evening.stable, evening.bounds, evening.earlier)[rollout]
        wanted = float(about[counts].sum())
        if found is None or not math.isclose(found.estimate, wanted, rel_tol=1e-6, abs_tol=1e-3):
            raise SystemExit(f"rollout {rollout}, look {look}: the operator says {found}, the arrays {wanted}")
        for sign, bound in ((1, found.low), (-1, found.high)):
            at = np.full(evening.lost.shape, bound)
            if abs(float(evening.against(at, sign)[rollout, -1]) - least) > 1e-3:
                raise SystemExit(f"rollout {rollout}, look {look}: {found} is not where the evidence is enough")


def measure(load: dict[str, Any], rollouts: int) -> part.Figures:
    """Yield the figures of every world."""
    asked = Asked.read(load)
    for name, values in load["worlds"].items():
        world = World.read(**values)
        rng = np.random.default_rng([load["seed"], *name.encode()])
        sampling = np.random.default_rng(load["seed"])
        told: dict[str, list[Floats]] = {}
        for first in range(0, rollouts, AT_ONCE):
            drawn = simulate(world, load, asked, min(AT_ONCE, rollouts - first), rng)
            if not first:
                agree(drawn, asked, sampling)
            for what, each in figures(drawn, world, load, asked, sampling):
                told.setdefault(what, []).append(np.asarray(each, dtype=np.float64))
        for what, parts in told.items():
            each = np.concatenate(parts)
            ended = each[np.isfinite(each)]  # infinite: it never came to that
            if not what.rpartition(".")[2].startswith(("median", "p95")):
                yield f"{name}.{what}", each.mean(), rollouts
            elif ended.size > 0.5 * rollouts:
                yield f"{name}.{what}", np.quantile(ended, 0.95 if "p95" in what else 0.5), rollouts


def figures(
    drawn: Drawn, world: World, load: dict[str, Any], asked: Asked, rng: np.random.Generator
) -> Iterator[tuple[str, Floats | Flags]]:
    """Yield one number a rollout for everything that is asked of this world."""
    ever, at_end = wrong(drawn, asked, rng)
    yield "low_wrong", ever[0]
    yield "high_wrong", ever[1]
    yield "wrong_at_end", at_end.any(axis=0)
    never = asked.schedule.looks.size
    failed = _fails(drawn, asked) if world.worse_at_some_time and world.limits else np.array(never)
    for limit in world.limits:
        at = rolled_back(drawn, limit, asked)
        label = f"limit{limit:g}"
        if not world.worse_at_some_time:
            yield f"{label}.rolled_back_not_worse", at < never
            continue
        yield f"{label}.rolled_back", at < never
        yield f"{label}.median_lost_over_limit", _at(drawn.lost, at) / limit
        yield f"{label}.p95_lost_over_limit", _at(drawn.lost, at) / limit
        yield f"{label}.median_counted_over_limit", _at(drawn.counted, at) / limit
        first = np.minimum(at, failed)
        yield f"{label}.median_lost_over_limit_with_verdict", _at(drawn.lost, first) / limit


def _at(values: Floats, look: Places) -> Floats:
    """Of each rollout at its look; infinite where it never comes."""
    never = values.shape[1]
    found: Floats = np.where(look < never, values[np.arange(look.size), np.minimum(look, never - 1)], np.inf)
    return found


def _fails(drawn: Drawn, asked: Asked) -> Places:
    """The look at which the verdict fails the candidate, with its part of the error; the number of looks: never."""
    course = belay(
        drawn.candidate,
        drawn.stable,
        schedule=asked.schedule,
        comparison=asked.comparison,
        budget=split(asked.false_rollback_rate, 2),
        before=(drawn.known, None),
    )
    return np.where(course.failed.any(axis=1), course.failed.argmax(axis=1), course.failed.shape[1])


def run(kind: str) -> int:
    """Measure, print, hold against the bands; return the exit status. kind: full or quick."""
    return part.run(NAME, kind, measure)


if __name__ == "__main__":
    sys.exit(part.main(__doc__, run))
