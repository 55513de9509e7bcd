"""Outcomes that are reported hours after their episodes: the verdict stays open, and its errors are those that it has.

    make bench-verdict                  with the rest of it
    python bench/verdict/delayed.py     these worlds alone, a minute or two of one core; `--quick`: a few seconds

An episode counts where its outcome came within the metric's grace of its start. So no look knows of one that is
younger, and a candidate whose bad episodes report sooner or later than its good ones gains or loses nothing. Arrays
judge (`rules`), and what they say goes through the operator's `grace.withheld` with the late reports that the look
knows of; some looks are put through `queries.judged` as a whole, and the two must agree.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np

from belay_api.reasons import Verdict
from belay_api.rollout.margin import Margin
from belay_api.wire import Statistics, VersionStatistics
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import Budget, split
from belay_operator.rollout.analysis.evidence import Better, Comparison, Evidence
from belay_operator.rollout.analysis.grace import withheld
from belay_operator.rollout.analysis.queries import Criterion, judged
from verdict import part
from verdict.rules import Course, Flags, Places, Schedule, SoFar, belay, episodes_at_looks, naive, so_far
from verdict.told import BEGAN, earlier_of_version, reading, told_windows
from verdict.world import LONGEST, Episodes, Floats

NAME = "delayed"
AT_ONCE = 200  # rollouts in memory together
SAMPLED_LOOKS = 12  # per world and drop, put through the operator's own function
HOUR_S = 3600.0
BEYOND_S = 12 * HOUR_S  # after grace, at most
CANDIDATE, STABLE = "candidate", "stable"
GOOD, BAD = "good", "bad"


@dataclass(frozen=True, slots=True)
class Delay:
    """From an episode's start to its report."""

    hours: float  # mean of an exponential distribution that is cut at grace
    beyond: float = 0.0  # share of reports that come after grace
    never: float = 0.0  # share of episodes that nobody reports

    def draw(self, number: int, grace: float, rng: np.random.Generator) -> Floats:
        """Return seconds; infinite: never."""
        mean, cut = self.hours * HOUR_S, LONGEST * grace
        within = -mean * np.log1p(rng.random(number) * np.expm1(-cut / mean))
        after = grace + rng.random(number) * BEYOND_S
        chance = rng.random(number)
        delay = np.where(chance < self.beyond, after, within)
        return np.where(chance >= 1 - self.never, np.inf, delay)


@dataclass(frozen=True, slots=True)
class World:
    """One line of delayed.yaml under `worlds`."""

    drops: tuple[float, ...]
    delays: dict[tuple[str, str], Delay]  # by side, and whether the episode was good or bad
    kind: str = "usual"  # which figures are asked for: usual, silent (it is missing on the candidate), or open
    share: float = 1.0  # of the run's rollouts
    look: float | None = None  # seconds; None: as the schedule says

    @classmethod
    def read(
        cls,
        drops: list[float],
        delay: dict[str, float],
        kind: str = "usual",
        share: float = 1.0,
        look: float | None = None,
        **sides: Any,
    ) -> World:
        """Strict: a misspelt key is an error."""
        for side, said in sides.items():
            if side not in (CANDIDATE, STABLE) or not set(said) <= {GOOD, BAD}:
                raise ValueError(f"worlds: {side}: {said} is not candidate or stable with good or bad")
        every = {(side, which): delay for side in (CANDIDATE, STABLE) for which in (GOOD, BAD)}
        every |= {(side, which): its for side, said in sides.items() for which, its in said.items()}
        return cls(tuple(drops), {place: Delay(**its) for place, its in every.items()}, kind, share, look)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked in every world."""

    schedule: Schedule
    comparison: Comparison
    budget: Budget

    @classmethod
    def read(cls, load: dict[str, Any], world: World) -> Asked:
        """From delayed.yaml."""
        certain = Range(*map(float, load["returns"]["range"]))
        comparison = Comparison("return", Better.MORE, Margin(load["margin"], relative=True), certain)
        times = {**load["schedule"], **({} if world.look is None else {"look": world.look})}
        return cls(Schedule(**times), comparison, split(load["false_rollback_rate"], 1))

    def judgement(self) -> Criterion:
        """As the operator asks it of a reading."""
        grace = timedelta(seconds=self.schedule.grace)
        return Criterion(
            self.comparison,
            CANDIDATE,
            STABLE,
            self.budget,
            grace,
            since=None,
            not_before=BEGAN + grace,
            window=timedelta(seconds=self.schedule.window),
        )


def simulate(world: World, drop: float, load: dict[str, Any], rollouts: int, rng: np.random.Generator) -> Episodes:
    """Draw episodes; they end when they are reported."""
    mean, spread = load["returns"]["mean"], load["returns"]["cv"] * load["returns"]["mean"]
    duration, grace = load["schedule"]["duration"], load["schedule"]["grace"]
    rollout = np.repeat(np.arange(rollouts), rng.poisson(load["arrivals_per_s"] * duration, rollouts))
    start = rng.random(rollout.size) * duration
    of_candidate = rng.random(rollout.size) < 0.5
    drawn = np.clip(rng.normal(mean, spread, rollout.size), 0, 2 * mean)
    delay = np.zeros(rollout.size)
    for (side, which), its in world.delays.items():
        here = (of_candidate == (side == CANDIDATE)) & ((drawn < mean) == (which == BAD))
        delay[here] = its.draw(int(here.sum()), grace, rng)
    return Episodes(rollout, of_candidate, start, start + delay, np.where(of_candidate, 1 - drop, 1.0) * drawn)


@dataclass(frozen=True, slots=True)
class Looks:
    """All looks at some rollouts, as the logbook tells of them."""

    episodes: Episodes
    sides: dict[str, SoFar]
    known: Floats  # stable's returns before, (rollout, episode)
    schedule: Schedule
    _of_rollout: dict[int, Places] = field(default_factory=dict)

    def answer(self, rollout: int, look: int) -> list[VersionStatistics]:
        """Return the windows of both sides, with the late reports that have come by then."""
        return [
            VersionStatistics(
                version=side,
                windows=told_windows(self.sides[side], rollout, look, self.schedule, self._late(side, rollout, look)),
                earlier=earlier_of_version(self.known[rollout]) if side == STABLE else None,
            )
            for side in (CANDIDATE, STABLE)
        ]

    def _late(self, side: str, rollout: int, look: int) -> Floats:
        """How many reports of each window came after grace, and by now, of episodes that began a grace ago."""
        schedule, episodes = self.schedule, self.episodes
        if not self._of_rollout:
            order = np.argsort(episodes.rollout, kind="stable")
            ends = np.searchsorted(episodes.rollout[order], np.arange(self.known.shape[0] + 1))
            self._of_rollout.update({one: order[ends[one] : ends[one + 1]] for one in range(self.known.shape[0])})
        mine = self._of_rollout[rollout]
        start, end = episodes.start[mine], episodes.end[mine]
        at = (look + 1) * schedule.look
        late = (end - start > schedule.grace) & (end <= at) & (start < at - schedule.grace)
        late &= episodes.of_candidate[mine] == (side == CANDIDATE)
        window = np.searchsorted(schedule.windows, start[late], side="right") - 1
        return np.bincount(window, minlength=schedule.windows.size).astype(np.float64)


def decided(course: Course, looks: Looks) -> tuple[Places, Places]:
    """Return the look at which each rollout first fails, and at which it first passes; the number of looks: never.

    What the arrays say stands where `withheld` lets it stand.
    """
    never = looks.schedule.looks.size
    failed_at, passed_at = (np.full(course.failed.shape[0], never) for _ in range(2))
    for rollout in range(failed_at.size):
        for look in np.flatnonzero(course.failed[rollout] | course.passed[rollout]):
            fails = bool(course.failed[rollout, look])
            if (not fails and passed_at[rollout] < never) or not _stands(fails, looks, rollout, int(look)):
                continue
            (failed_at if fails else passed_at)[rollout] = look
            if fails:
                break
    return failed_at, passed_at


def _stands(fails: bool, looks: Looks, rollout: int, look: int) -> bool:
    said = Verdict.FAIL if fails else Verdict.PASS
    answer = Statistics(
        outcome="return",
        at=BEGAN + timedelta(seconds=float(looks.schedule.looks[look])),
        etag=str(look),
        versions=looks.answer(rollout, look),
    )
    grace = timedelta(seconds=looks.schedule.grace)
    found = withheld(Evidence("return", said, ""), answer, candidate=CANDIDATE, stable=STABLE, grace=grace)
    return found.verdict is said


def agree(course: Course, looks: Looks, asked: Asked, rng: np.random.Generator) -> None:
    """End the run where the operator says something else of a look, or anything before the first episodes are ripe."""
    rollouts, number = course.failed.shape
    for sample in range(SAMPLED_LOOKS):
        rollout, look = int(rng.integers(rollouts)), int(rng.integers(number))
        spoke = np.flatnonzero(course.failed[rollout] | course.passed[rollout])
        if spoke.size and sample % 2:
            look = max(0, int(spoke[0]) - int(rng.integers(2)))
        found = judged(asked.judgement(), reading(look, asked.schedule, *looks.answer(rollout, look))).verdict
        wanted = Verdict.NOT_ENOUGH_SAMPLES
        for says, verdict in ((course.passed, Verdict.PASS), (course.failed, Verdict.FAIL)):
            if says[rollout, look] and _stands(verdict is Verdict.FAIL, looks, rollout, look):
                wanted = verdict
        open_ = {Verdict.NOT_ENOUGH_SAMPLES}
        if asked.schedule.looks[look] >= asked.schedule.grace:
            open_.add(Verdict.NO_DATA)
        if found is not wanted and not {found, wanted} <= open_:
            raise SystemExit(f"rollout {rollout}, look {look}: the operator says {found}, the arrays {wanted}")


def measure(load: dict[str, Any], rollouts: int) -> part.Figures:
    """Yield the figures of every world and drop."""
    for name, values in load["worlds"].items():
        world = World.read(**values)
        asked = Asked.read(load, world)
        number = max(2, round(rollouts * world.share))
        for drop in world.drops:
            rng = np.random.default_rng([load["seed"], round(1000 * drop), *name.encode()])
            parts = [
                _rollouts(world, drop, load, asked, min(AT_ONCE, number - first), rng=rng)
                for first in range(0, number, AT_ONCE)
            ]
            told = Told(*(np.concatenate(one) for one in zip(*parts, strict=True)))
            for what, value in figures(told, world, drop, asked.schedule).items():
                yield f"{name}.drop{100 * drop:.3g}.{what}", value, number


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of each rollout."""

    failed: Places  # the look; the number of looks: never
    passed: Places
    episodes: Floats  # (rollout, look): the candidate's that had been counted
    welch: Flags  # whether Welch's test on what was reported by then ever says worse


def _rollouts(
    world: World, drop: float, load: dict[str, Any], asked: Asked, rollouts: int, *, rng: np.random.Generator
) -> tuple[Any, ...]:
    schedule, mean, spread = asked.schedule, load["returns"]["mean"], load["returns"]["cv"] * load["returns"]["mean"]
    drawn = simulate(world, drop, load, rollouts, rng)
    known = np.clip(rng.normal(mean, spread, (rollouts, load["earlier"])), 0, 2 * mean)
    sides = [so_far(drawn, candidate=side, schedule=schedule, rollouts=rollouts) for side in (True, False)]
    course = belay(*sides, schedule=schedule, comparison=asked.comparison, budget=asked.budget, before=(known, None))
    looks = Looks(drawn, dict(zip((CANDIDATE, STABLE), sides, strict=True)), known, schedule)
    agree(course, looks, asked, np.random.default_rng(load["seed"]))
    welch = naive(drawn, looks=schedule.looks, rollouts=rollouts)["welch"].any(axis=1)
    return *decided(course, looks), episodes_at_looks(sides[0], schedule), welch


def figures(told: Told, world: World, drop: float, schedule: Schedule) -> dict[str, float]:
    """Return what is asked in this kind of world."""
    never = schedule.looks.size
    fails, passes = told.failed < never, told.passed < told.failed

    def spent(prefix: str, at: Places) -> dict[str, float]:
        place = np.minimum(at, never - 1)
        return {
            f"median_hours{prefix}": float(np.median(schedule.looks[place])) / HOUR_S,
            f"median_candidate_episodes{prefix}": float(np.median(told.episodes[np.arange(at.size), place])),
        }

    if world.kind == "open":
        if drop == 0:
            return {"false_rollback": float(fails.mean()), "passed": float((told.passed < never).mean())}
        return {"failed": float(fails.mean()), "wrongly_passed": float(passes.mean())}
    if world.kind == "silent":
        return {
            "found": float((fails & ~passes).mean()),
            "wrongly_passed": float(passes.mean()),
            **spent("", told.failed),
        }
    if drop == 0:
        return {
            "false_rollback": float(fails.mean()),
            "passed": float((told.passed < never).mean()),
            **spent("_to_pass", told.passed),
            "false_rollback.welch": float(told.welch.mean()),
        }
    found = fails & ~passes
    return {
        "found": float(found.mean()),
        "wrongly_passed": float(passes.mean()),
        **spent("", np.where(found, told.failed, never)),
        "found.welch": float(told.welch.mean()),
    }


def run(kind: str) -> int:
    """Measure, print, hold against the bands; return the exit status. kind: full or quick."""
    return part.run(NAME, kind, measure)


if __name__ == "__main__":
    sys.exit(part.main(__doc__, run))
