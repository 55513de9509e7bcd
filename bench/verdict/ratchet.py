"""The ratchet: where versions end that are each worse by what is allowed, with and without the anchor beside them.

    make bench-verdict                  with the rest of it
    python bench/verdict/ratchet.py     these worlds alone, about a minute of one core; `--quick`: a few seconds

A life is twenty candidates, one after the other, each worse than the stable version of its day. One that passes before
it fails is promoted, and one that does neither is taken back when patience ends. Episodes are drawn one by one and
judged window by window by the operator's own bets, for all lives at once; some looks are put through its `judge`, and
the two must agree.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from belay_api.reasons import Verdict
from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import Earlier, Outcomes
from belay_operator.rollout.analysis.bounds import Range, bounds
from belay_operator.rollout.analysis.budget import Budget, split
from belay_operator.rollout.analysis.evidence import MISSING_MARGIN, Better, Comparison, StartWindow, flags
from belay_operator.rollout.analysis.race import Race
from belay_operator.rollout.analysis.verdict import SILENCES, USUAL_SILENCE, judge
from belay_operator.rollout.anchor import share
from ranges import check

HERE = Path(__file__).parent
SAMPLED_LOOKS = 6  # per world and rule, put through the operator's own judge
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class World:
    """What a version's episodes return, and how a candidate is judged by them."""

    mean: float  # of the version that was approved
    spread: float
    range: Range
    margin: Margin
    budget: Budget
    windows: int
    earlier: int

    def episodes(self, level: Floats, count: int, rng: np.random.Generator) -> Outcomes:
        """Return the windows of a version, (life, window).

        Args:
            level: Its mean as a share of the approved version's, by life.
            count: Episodes a window.
        """
        size = (level.size, self.windows, count)
        drawn = np.clip(rng.normal(level[:, np.newaxis, np.newaxis] * self.mean, self.spread, size), *self._ends)
        mean = drawn.mean(axis=-1)
        m2 = ((drawn - mean[..., np.newaxis]) ** 2).sum(axis=-1)
        return Outcomes(np.full(mean.shape, float(count)), mean, m2, drawn.min(axis=-1), drawn.max(axis=-1))

    def before(self, level: Floats, rng: np.random.Generator) -> Earlier:
        """Return what is known of a version before the trial, arrays of (life, 1)."""
        size = (level.size, self.earlier)
        drawn = np.clip(rng.normal(level[:, np.newaxis] * self.mean, self.spread, size), *self._ends)
        ends = (drawn.mean(1), drawn.std(1, ddof=1), drawn.min(1), drawn.max(1))
        return Earlier(*(end[:, np.newaxis] for end in ends))  # type: ignore[arg-type]

    def judged(self, candidate: Outcomes, other: Outcomes, earlier: Earlier) -> tuple[Flags, Flags]:
        """Return whether each look says Fail, and whether it says Pass."""
        ends = bounds(self.range, self.margin, candidate, other, earlier)
        race = Race(self.margin, candidate, other, ends, earlier)
        failed = np.zeros(candidate.count.shape, bool)
        if self.budget.outcome is not None:
            failed = race.worse() >= math.log(1 / self.budget.outcome)
        none = [flags(np.zeros(side.count.shape), side.count).mirrored() for side in (candidate, other)]
        silent = Race(MISSING_MARGIN, *none, SILENCES, USUAL_SILENCE.mirrored())
        enough = math.log(1 / self.budget.wrong_promotion)
        return failed, (race.better() >= enough) & (silent.better() >= enough) & ~failed

    @property
    def _ends(self) -> tuple[float | None, float | None]:
        return self.range.low, self.range.high


@dataclass(slots=True)
class Lives:
    """What became of many lives."""

    level: Floats  # of stable, as a share of the approved version's mean
    promoted: Floats
    episodes: Floats  # of all candidates


def live(world: World, load: dict[str, Any], drops: list[float], *, lives: int, serve: bool, seed: int) -> Lives:
    """Return how that many lives end; `serve`: each candidate is held against the approved version as well."""
    rng, sampling = np.random.default_rng(seed), np.random.default_rng(seed)
    weight, window = float(load["weight"]), load["window"]
    of_candidate, of_anchor = (round(window * percent / 100) for percent in (weight, share(weight)))
    ended = Lives(np.ones(lives), np.zeros(lives), np.zeros(lives))
    third = World(**{**_fields(world), "budget": world.budget.only_pass})
    for number in range(load["candidates"]):
        approved = ended.promoted == 0  # stable is the anchor itself: there is no third version
        level = ended.level * (1 - rng.normal(drops[0], drops[1], lives))
        candidate = world.episodes(level, of_candidate, rng)
        with_two = world.episodes(ended.level, window - of_candidate, rng)
        with_three = world.episodes(ended.level, window - of_candidate - of_anchor, rng)
        stable = _chosen(approved | (not serve), with_two, with_three)
        known = world.before(ended.level, rng)
        failed, passed = world.judged(candidate, stable, known)
        if number in (0, 3):
            agree(world, (candidate, stable, known), (failed, passed), sampling)
        if serve:
            anchor, its = world.episodes(np.ones(lives), of_anchor, rng), world.before(np.ones(lives), rng)
            said = third.judged(candidate, anchor, its)
            passed &= said[1] | approved[:, np.newaxis]
            if number == 3:
                agree(third, (candidate, anchor, its), said, sampling)
        never = np.full(lives, world.windows)
        fails, passes = (np.where(said.any(1), said.argmax(1), never) for said in (failed, passed))
        wins = passes < fails
        ended.episodes += of_candidate * (np.minimum(np.minimum(fails, passes), world.windows - 1) + 1)
        ended.level, ended.promoted = np.where(wins, level, ended.level), ended.promoted + wins
    return ended


def _chosen(first: Flags, one: Outcomes, other: Outcomes) -> Outcomes:
    of = first[:, np.newaxis]
    return Outcomes(*(np.where(of, getattr(one, f), getattr(other, f)) for f in ("count", "mean", "m2", "low", "high")))


def _fields(world: World) -> dict[str, Any]:
    return {name: getattr(world, name) for name in World.__slots__}


def agree(
    world: World, asked: tuple[Outcomes, Outcomes, Earlier], said: tuple[Flags, Flags], rng: np.random.Generator
) -> None:
    """End the run where the operator's own judge says something else of a look than the arrays."""
    candidate, other, known = asked
    comparison = Comparison("return", Better.MORE, world.margin, world.range)
    for _ in range(SAMPLED_LOOKS):
        life, look = int(rng.integers(candidate.count.shape[0])), int(rng.integers(world.windows))
        spoke = np.flatnonzero(said[0][life] | said[1][life])
        if spoke.size and rng.random() < 0.5:
            look = max(0, int(spoke[0]) - int(rng.integers(2)))
        sides = [_windows(side, life, look) for side in (candidate, other)]
        its = Earlier(*(float(getattr(known, f)[life, 0]) for f in ("mean", "spread", "low", "high")))
        verdict = judge(comparison, *sides, budget=world.budget, earlier=its).verdict
        found = (bool(said[0][life, look]), bool(said[1][life, look]))
        if found != (verdict is Verdict.FAIL, verdict is Verdict.PASS):
            raise SystemExit(f"life {life}, look {look}: judge says {verdict}, the arrays (fail, pass) = {found}")


def _windows(side: Outcomes, life: int, look: int) -> list[StartWindow]:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        StartWindow(
            began + timedelta(minutes=place),
            int(side.count[life, place]),
            0,
            *(float(getattr(side, f)[life, place]) for f in ("mean", "m2", "low", "high")),
        )
        for place in range(look + 1)
    ]


def figures(ended: Lives, candidates: int) -> dict[str, float]:
    """Return what is asked of many lives."""
    return {
        "promoted": float(ended.promoted.mean()),
        "level_median": float(np.median(ended.level)),
        "level_worst": float(np.quantile(ended.level, 0.025)),
        "below_the_margin": float((ended.level < 0.9 - 1e-9).mean()),
        "candidate_episodes": float(ended.episodes.mean()) / candidates,
    }


def run(kind: str) -> int:
    """Measure, print, hold against the bands; return the exit status. kind: full or quick."""
    load = yaml.safe_load((HERE / "ratchet.yaml").read_text())
    began, said = time.monotonic(), load["returns"]
    world = World(
        mean=said["mean"],
        spread=said["cv"] * said["mean"],
        range=Range(*said["range"]),
        margin=Margin(load["margin"], relative=True),
        budget=split(load["false_rollback_rate"], 1),
        windows=load["windows"],
        earlier=load["earlier"],
    )
    found: dict[str, float] = {}
    for name, drops in load["drops"].items():
        for rule in ("unseen", "serve"):
            lives = load["runs"][kind]["lives"]
            ended = live(world, load, drops, lives=lives, serve=rule == "serve", seed=load["seed"])
            found |= {
                f"drop{name}.{rule}.{what}": round(value, 4)
                for what, value in figures(ended, load["candidates"]).items()
            }
    print(f"ratchet: {time.monotonic() - began:.0f} s")
    return check(HERE / ("ranges.ratchet.yaml" if kind == "full" else "ranges.ratchet.quick.yaml"), found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    sys.exit(run("quick" if parser.parse_args().quick else "full"))
