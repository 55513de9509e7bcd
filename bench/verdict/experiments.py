"""Experiments on a time axis: how often an arm wins that is not better, or is taken off that is not worse; how soon.

    make bench-verdict                      with the rest of it
    python bench/verdict/experiments.py     these worlds alone, about a minute of one core; `--quick`: a few seconds

Arms get their shares together. Each is judged beside the same episodes of stable, by the arrays that judge candidates
(`rules`), at its part of the errors; better is the same bet with the sides exchanged. Some looks are put through what
the operator calls (`experiment.is_better`, `queries.judged`), and the two must agree. An arm that fails gets no episode
any more; what it would have got goes nowhere here, while stable gets it in truth.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from belay_api.reasons import Verdict
from belay_api.rollout.experiment import ExperimentSpec
from belay_api.rollout.margin import Margin
from belay_api.wire import VersionStatistics
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import Budget, share_of_trial, split
from belay_operator.rollout.analysis.evidence import Better, Comparison
from belay_operator.rollout.analysis.grace import DOUBT, evidence_of_few
from belay_operator.rollout.analysis.queries import Criterion, judged
from belay_operator.rollout.analysis.verdict import silence
from belay_operator.rollout.experiment import SELECTED, SUSPICION, is_better
from verdict import part
from verdict.rules import (
    Flags,
    Places,
    Schedule,
    SoFar,
    belay,
    evidence_at_looks,
    race_of_outcomes,
    so_far,
    total_at_looks,
)
from verdict.told import earlier_of_version, reading, told_windows
from verdict.world import LONGEST, LOST_QUARTER, Episodes, Floats

NAME = "experiments"
AT_ONCE = 100  # rollouts in memory together
SAMPLED_LOOKS = 8  # per world, put through the operator's own functions


@dataclass(frozen=True, slots=True)
class World:
    """One line of experiments.yaml under `worlds`."""

    shares: Floats  # of the episodes, by arm
    drops: Floats  # worse than stable by this share of its mean; below 0: better
    silent: tuple[int, ...]  # arms whose worst episodes are never reported
    silence: float  # what share of them
    withdrawn: dict[int, float]  # arms that can serve no more, and from which second on
    sink: float  # by how much returns have fallen at the end, for all alike
    stable_loses: float  # share of stable's best episodes that is never reported
    missing: float  # share of all episodes that is not

    @classmethod
    def read(
        cls,
        arms: list[list[float]],
        *,
        silent: Any = (),
        silence: float = LOST_QUARTER,
        withdrawn: Any = None,
        sink: float = 0.0,
        stable_loses: float = 0.0,
        missing: float = 0.0,
    ) -> World:
        """Strict: a misspelt key is an error."""
        shares, drops = np.array(arms, dtype=np.float64).T
        return cls(shares / 100, drops, tuple(silent), silence, withdrawn or {}, sink, stable_loses, missing)

    @property
    def arms(self) -> range:
        """Indices of the arms."""
        return range(self.drops.size)

    @property
    def equal(self) -> list[int]:
        """Arms that nobody should take off."""
        return [arm for arm in self.arms if self.drops[arm] <= 0 and arm not in self.silent]

    @property
    def worse(self) -> list[int]:
        """Arms that should be."""
        return [arm for arm in self.arms if arm not in self.equal]

    @property
    def not_better(self) -> list[int]:
        """Arms that must not win; one that falls silent is not known to be better."""
        return [arm for arm in self.arms if self.drops[arm] >= 0 or arm in self.silent]

    @property
    def right(self) -> int | None:
        """The arm that should win; None: none is better."""
        best = int(self.drops.argmin())
        return best if best not in self.not_better else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the arms of every world."""

    schedule: Schedule
    comparison: Comparison
    false_rollback_rate: float
    error_rate: float
    duration: float  # seconds until a winner may be declared

    @classmethod
    def read(cls, load: dict[str, Any], world: World) -> Asked:
        """For one world: windows end where shares change."""
        comparison = Comparison(
            "return", Better.MORE, Margin(load["margin"], relative=True), Range(*map(float, load["returns"]["range"]))
        )
        schedule = Schedule(**load["schedule"], cuts=tuple(sorted(set(world.withdrawn.values()))))
        return cls(schedule, comparison, load["false_rollback_rate"], load["error_rate"], load["duration"])

    def spend(self, arms: int) -> Budget:
        """What one arm may spend on being taken off."""
        return split(self.false_rollback_rate / arms, 1)


@dataclass(frozen=True, slots=True)
class Found:
    """What was said of one arm, per rollout and look."""

    failed: Flags
    passed: Flags
    better: Flags
    difference: Floats  # of the means


def simulate(
    world: World, load: dict[str, Any], schedule: Schedule, rollouts: int, rng: np.random.Generator
) -> list[Episodes]:
    """Draw the episodes of stable, and after it of every arm."""
    mean, spread = load["returns"]["mean"], load["returns"]["cv"] * load["returns"]["mean"]
    number = rng.poisson(load["arrivals_per_s"] * schedule.duration, rollouts)
    rollout = np.repeat(np.arange(rollouts), number)
    start = rng.random(rollout.size) * schedule.duration
    # 0 is stable, and what is left of the shares is its own.
    side = 1 + np.searchsorted(np.cumsum(world.shares), rng.random(rollout.size), side="right")
    side[side > world.drops.size] = 0
    for arm, at in world.withdrawn.items():
        side[(side == 1 + arm) & (start >= at)] = 0
    level = 1 - world.sink * start / schedule.duration
    ability = np.concatenate([[1.0], 1 - world.drops])[side]
    value = ability * np.clip(rng.normal(mean, spread, rollout.size), 0, 2 * mean)
    length = np.clip(schedule.grace / 2 * value / mean, 5, LONGEST * schedule.grace)
    reported = rng.random(rollout.size) >= world.missing
    for arm in world.silent:
        mine = side == 1 + arm
        reported[mine] = value[mine] >= np.quantile(value[mine], world.silence)
    if world.stable_loses:
        mine = side == 0
        reported[mine] = value[mine] <= np.quantile(value[mine], 1 - world.stable_loses)
    end = np.where(reported, start + length, np.inf)
    everything = Episodes(rollout, np.ones(rollout.size, bool), start, end, value * level)
    return [_of(everything, side == one) for one in range(world.drops.size + 1)]


def _of(episodes: Episodes, which: Flags) -> Episodes:
    names = ("rollout", "of_candidate", "start", "end", "value")
    return Episodes(*(getattr(episodes, name)[which] for name in names))


def look(arm: SoFar, stable: SoFar, known: Floats, asked: Asked, *, arms: int) -> Found:
    """Return what every look says of an arm.

    Args:
        known: Stable's returns before, (rollout, episode).
        arms: Among how many the errors are divided.
    """
    schedule, comparison = asked.schedule, asked.comparison
    course = belay(
        arm, stable, schedule=schedule, comparison=comparison, budget=asked.spend(arms), before=(known, None)
    )
    # Before an arm began nothing is known of it: it is the one that is compared with here.
    exchanged = race_of_outcomes([side.at(schedule.last_bins) for side in (stable, arm)], comparison, _nothing(known))
    evidence = evidence_at_looks((stable, arm), schedule, exchanged.worse, SoFar.outcomes)
    full = [side.at(schedule.last_bins).silences() for side in (stable, arm)]
    race = silence(*full, SELECTED)
    silences = evidence_at_looks((stable, arm), schedule, race.worse, lambda side: side.silences().mirrored())
    selected = silences >= math.log(1 / SUSPICION)
    # Before twice the grace nothing is decided beside a side of which late reports may still come.
    later = schedule.looks >= 2 * schedule.grace
    ripe_for_arm, ripe_for_stable = (_few(side, schedule) | later for side in (stable, arm))
    return Found(
        course.failed & ripe_for_arm,
        course.passed & ripe_for_arm,
        (evidence >= math.log(arms / (share_of_trial(1) * asked.error_rate))) & ~selected & ripe_for_stable,
        _difference(arm, stable, schedule),
    )


def _nothing(known: Floats) -> tuple[Floats, None]:
    return np.zeros((known.shape[0], 0)), None


def _few(side: SoFar, schedule: Schedule) -> Flags:
    counts = (total_at_looks(part, schedule) for part in (side.missing, side.count))
    return evidence_of_few(*counts) >= math.log(1 / DOUBT)


def _difference(arm: SoFar, stable: SoFar, schedule: Schedule) -> Floats:
    """As the verdict has it: per window, weighted with the arm's counts."""
    weight = np.where((arm.count > 0) & (stable.count > 0), arm.count, 0.0)
    sums = (total_at_looks(part, schedule) for part in (weight * (arm.mean - stable.mean), weight))
    difference, total = sums
    return difference / np.maximum(total, 1)


def begun(episodes: Episodes, schedule: Schedule, rollouts: int) -> Floats:
    """Return how many episodes have begun at each look, per rollout."""
    looks = schedule.looks
    key = episodes.rollout * looks.size + np.searchsorted(looks, episodes.start)
    counted = np.bincount(key, minlength=rollouts * looks.size).reshape(rollouts, looks.size)
    return np.cumsum(counted, axis=1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Ended:
    """How experiments ended, per rollout."""

    winner: Places  # index of the arm; -1: none has won
    at: Places  # index of the look at which it ended
    off: Places  # (rollout, arm): the look at which an arm was taken off; the number of looks: never


def end(found: list[Found], world: World, asked: Asked) -> Ended:
    """Return how they end: at the first look from `duration` on at which an arm is better and passes, and is not off.

    Of several the best mean difference wins.
    """
    looks = asked.schedule.looks
    off = np.stack([_first(one.failed) for one in found], axis=1)
    for arm, second in world.withdrawn.items():
        off[:, arm] = np.minimum(off[:, arm], np.searchsorted(looks, second))
    able = np.arange(looks.size)[:, np.newaxis] < off[:, np.newaxis]
    wins = np.stack([one.better & one.passed for one in found], axis=-1) & able
    wins &= (looks >= asked.duration)[:, np.newaxis]
    gain = np.where(wins, np.stack([one.difference for one in found], axis=-1), -np.inf)
    won = _first(wins.any(axis=-1))
    at = np.minimum(np.minimum(won, off.max(axis=1)), looks.size - 1)
    winner = np.where(won < looks.size, gain[np.arange(at.size), at].argmax(axis=-1), -1)
    return Ended(winner, at, off)


def _first(said: Flags) -> Places:
    """Index of the first look that says so; the number of looks when none does."""
    return np.where(said.any(axis=1), said.argmax(axis=1), said.shape[1])


def agree(
    found: list[Found],
    sides: list[SoFar],
    known: Floats,
    world: World,
    asked: Asked,
    *,
    rng: np.random.Generator,
) -> None:
    """End the run where what the operator calls says something else of an arm at a look."""
    schedule, arms = asked.schedule, len(found)
    experiment = ExperimentSpec.model_validate(
        {
            "arms": [{"policy": f"arm{arm}", "weight": 1} for arm in world.arms],
            "metric": "return",
            "errorRate": asked.error_rate,
        }
    )
    for _ in range(SAMPLED_LOOKS):
        arm, rollout, at = (
            int(rng.integers(arms)),
            int(rng.integers(known.shape[0])),
            int(rng.integers(schedule.looks.size)),
        )
        one = found[arm]
        spoke = np.flatnonzero(one.failed[rollout] | one.passed[rollout] | one.better[rollout])
        if spoke.size and rng.random() < 0.5:  # elsewhere both are mostly silent
            at = max(0, int(spoke[0]) - int(rng.integers(2)))
        answer = reading(
            at,
            schedule,
            VersionStatistics(
                version="stable",
                windows=told_windows(sides[0], rollout, at, schedule),
                earlier=earlier_of_version(known[rollout]),
            ),
            VersionStatistics(version=f"arm{arm}", windows=told_windows(sides[1 + arm], rollout, at, schedule)),
        )
        as_candidate = Criterion(
            asked.comparison,
            f"arm{arm}",
            "stable",
            asked.spend(arms),
            timedelta(seconds=schedule.grace),
            since=None,
            window=timedelta(seconds=schedule.window),
        )
        verdict = judged(as_candidate, answer).verdict
        better = is_better(as_candidate, answer, experiment, arms=arms, trial=1)
        said = tuple(bool(flags[rollout, at]) for flags in (one.failed, one.passed, one.better))
        if said != (verdict is Verdict.FAIL, verdict is Verdict.PASS, better):
            raise SystemExit(
                f"arm {arm}, rollout {rollout}, look {at}: the operator says {verdict}, better: {better}; the arrays "
                f"(fail, pass, better) = {said}"
            )


def measure(load: dict[str, Any], rollouts: int) -> part.Figures:
    """Yield the figures of every world."""
    for name, values in load["worlds"].items():
        world = World.read(**values)
        asked = Asked.read(load, world)
        rng = np.random.default_rng([load["seed"], *name.encode()])
        sampling = np.random.default_rng(load["seed"])
        parts = [
            _experiments(
                world, load, asked, min(AT_ONCE, rollouts - first), rng=rng, sampling=None if first else sampling
            )
            for first in range(0, rollouts, AT_ONCE)
        ]
        together = {what: np.concatenate([one[what] for one in parts]) for what in parts[0]}
        for what, each in together.items():
            ended = each[np.isfinite(each)]  # infinite: it never came to that
            yield f"{name}.{what}", np.median(ended) if "median" in what else each.mean(), rollouts


def _experiments(
    world: World,
    load: dict[str, Any],
    asked: Asked,
    rollouts: int,
    *,
    rng: np.random.Generator,
    sampling: np.random.Generator | None,
) -> dict[str, Floats]:
    """Return what became of so many experiments, one number each.

    Args:
        sampling: Some looks are put through the operator's own functions; None: none.
    """
    schedule, mean, spread = asked.schedule, load["returns"]["mean"], load["returns"]["cv"] * load["returns"]["mean"]
    drawn = simulate(world, load, schedule, rollouts, rng)
    known = np.clip(rng.normal(mean, spread, (rollouts, load["earlier"])), 0, 2 * mean)
    sides = [so_far(side, candidate=True, schedule=schedule, rollouts=rollouts) for side in drawn]
    found = [look(side, sides[0], known, asked, arms=len(world.arms)) for side in sides[1:]]
    if sampling is not None:
        agree(found, sides, known, world, asked, rng=sampling)
    return figures(found, [begun(side, schedule, rollouts) for side in drawn], world, asked)


def figures(found: list[Found], episodes: list[Floats], world: World, asked: Asked) -> dict[str, Floats]:
    """Return one number an experiment for everything that is asked of this world."""
    looks, ended = asked.schedule.looks, end(found, world, asked)
    rollout, told = np.arange(ended.at.size), {}
    claimed = [arm for arm in world.not_better if arm not in world.silent]  # by what is seen, a silent one is better
    if claimed:
        told["wrongly_better"] = np.any([found[arm].better.any(axis=1) for arm in claimed], axis=0)
    if world.not_better:
        told["wrong_winner"] = np.isin(ended.winner, world.not_better)
    if world.equal:
        told["equal_taken_off"] = np.any([found[arm].failed.any(axis=1) for arm in world.equal], axis=0)
    if world.right is not None:
        right = ended.winner == world.right
        told["right_arm_wins"] = right
        told["median_minutes"] = np.where(right, looks[ended.at] / 60, np.inf)
        told["median_episodes"] = np.where(right, sum(side[rollout, ended.at] for side in episodes), np.inf)
        told["median_episodes_of_the_arm"] = np.where(right, episodes[1 + world.right][rollout, ended.at], np.inf)
    if world.worse:
        told["worse_taken_off"] = np.mean([ended.off[:, arm] < looks.size for arm in world.worse], axis=0)
        until = [np.minimum(ended.off[:, arm], ended.at) for arm in world.worse]
        spent = sum(episodes[1 + arm][rollout, at] for arm, at in zip(world.worse, until, strict=True))
        told["episodes_to_worse"] = spent / sum(side[:, -1] for side in episodes)  # of those of the whole time
    return {what: np.asarray(values, dtype=np.float64) for what, values in told.items()}


def run(kind: str) -> int:
    """Measure, print, hold against the bands; return the exit status. kind: full or quick."""
    return part.run(NAME, kind, measure)


if __name__ == "__main__":
    sys.exit(part.main(__doc__, run))
