"""The figures of one world and drop: what Belay and the other rules say of the same episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from belay_api.reasons import Verdict
from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import Budget
from belay_operator.rollout.analysis.covariate import LEVELS, Covariate
from belay_operator.rollout.analysis.evidence import Better, Comparison, Level, StartWindow
from belay_operator.rollout.analysis.verdict import judge
from verdict.peers import Peers
from verdict.rules import Course, Flags, Places, Schedule, SoFar, belay, earlier_of, episodes_at_looks, naive, so_far
from verdict.world import Floats, World, known_before, simulate

AT_ONCE = 250  # rollouts in memory together
EPISODES_AT_ONCE = 1_500_000  # and no more episodes than about so many
SAMPLED_LOOKS = 12  # per world, drop and range, put through the operator's own judge


@dataclass(frozen=True, slots=True)
class Trial:
    """One entry of load.yaml under `worlds`."""

    name: str
    world: World
    schedule: Schedule
    drops: tuple[float, ...]
    kind: str  # which figures are asked for: usual, allowed or late
    ranges: tuple[str, ...]  # declared: the world's range; depth: none, it is taken from what was seen
    share: float  # of the run's rollouts
    earlier: int  # stable's episodes before the candidate came, of which the logbook tells

    @classmethod
    def read(cls, name: str, values: dict[str, Any], *, schedule: dict[str, float], earlier: int) -> Trial:
        """Strict: a misspelt key is an error."""
        own = {field.name for field in fields(Schedule)} - {"cuts"}
        times = {**schedule, **{key: values[key] for key in own & set(values)}}
        of_trial = own | {"drops", "kind", "ranges", "share", "earlier"}
        world = World.read({k: v for k, v in values.items() if k not in of_trial}, duration=times["duration"])
        drops = tuple(values["drops"])
        if world.returns == "mixture" and any(abs(drop - world.drop_of_mixture()) > 1e-9 for drop in drops):
            raise ValueError(f"world {name}: the mixtures differ by {world.drop_of_mixture():.3g}, drops says {drops}")
        ranges = tuple(values.get("ranges", ["depth"] if world.range is None else ["declared"]))
        if world.range is None and ranges != ("depth",):
            raise ValueError(f"world {name}: ranges says {ranges}, but it has no range")
        return cls(
            name,
            world,
            Schedule(**times, cuts=world.cuts),
            drops,
            kind=values.get("kind", "usual"),
            ranges=ranges,
            share=values.get("share", 1.0),
            earlier=values.get("earlier", earlier),
        )

    def certain(self, which: str) -> Range:
        """Return the range that a spec declares."""
        return Range() if which == "depth" or self.world.range is None else Range(*self.world.range)


@dataclass(frozen=True, slots=True)
class Said:
    """When a rule first said so, per rollout: the index of the look, or the number of looks for never."""

    failed: Places
    passed: Places
    episodes: Floats  # (rollout, look): the candidate's that the rule has counted

    @classmethod
    def of(cls, failed: Flags, passed: Flags | None, episodes: Floats) -> Said:
        """Take the first look of each; a rule without a Pass never passes."""
        never = np.full(failed.shape[0], failed.shape[1])
        return cls(_first(failed), never if passed is None else _first(passed), episodes)

    @classmethod
    def together(cls, parts: Sequence[Said]) -> Said:
        """All rollouts of several."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def measure(
    trial: Trial, drop: float, *, margin: float, seed: int, rollouts: int, budget: Budget, peers: Peers | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the figures of one world and drop by name: of Belay and the naive rules, and of the peers."""
    schedule = trial.schedule
    rng = np.random.default_rng([seed, round(1000 * drop), *trial.name.encode()])
    sampling = np.random.default_rng(seed)  # what is sampled depends on what was said, and the world must not
    said: dict[str, list[Said]] = {}
    theirs: dict[str, list[Said]] = {}
    at_once = max(1, min(AT_ONCE, int(EPISODES_AT_ONCE / (trial.world.arrivals_per_s * schedule.duration))))
    for first in range(0, rollouts, at_once):
        number = min(at_once, rollouts - first)
        drawn = simulate(
            trial.world, drop=drop, rollouts=number, duration=schedule.duration, grace=schedule.grace, rng=rng
        )
        before = known_before(trial.world, rollouts=number, episodes=trial.earlier, rng=rng)
        sides = [so_far(drawn, candidate=side, schedule=schedule, rollouts=number) for side in (True, False)]
        episodes = episodes_at_looks(sides[0], schedule)
        for which in trial.ranges:
            comparison = Comparison("return", Better.MORE, Margin(margin, relative=True), trial.certain(which))
            asked = {"schedule": schedule, "comparison": comparison, "budget": budget, "before": before}
            course = belay(*sides, **asked)
            if first == 0:
                agree(course, *sides, **asked, rng=sampling)
            said.setdefault(which, []).append(Said.of(course.failed, course.passed, episodes))
        for rule, failed in naive(drawn, looks=schedule.looks, rollouts=number).items():
            said.setdefault(rule, []).append(Said.of(failed, None, episodes))
        if peers is not None and first < peers.rollouts:
            few = min(number, peers.rollouts - first)
            found = peers.judge(drawn, looks=schedule.looks, rollouts=few, arrivals_per_s=trial.world.arrivals_per_s)
            for rule, (failed_at, passed_at, finished) in found.items():
                theirs.setdefault(rule, []).append(Said(failed_at, passed_at, finished))

    label = f"{trial.name}.drop{100 * drop:.3g}"
    ours: dict[str, float] = {}
    for which in trial.ranges:
        name = label if len(trial.ranges) == 1 else f"{label}.{which}"
        ours |= {f"{name}.{what}": value for what, value in figures(Said.together(said[which]), trial, drop).items()}
    if drop == 0 and trial.kind == "usual" and not trial.world.silent:
        for rule in ("last_100", "welch"):
            ours[f"{label}.false_rollback.{rule}"] = (Said.together(said[rule]).failed < schedule.looks.size).mean()
    others = {
        f"{label}.{what}.{rule}": value
        for rule, parts in theirs.items()
        for what, value in figures(Said.together(parts), trial, drop).items()
        if not (what in ("passed", "wrongly_passed", "median_candidate_episodes_to_pass") and rule not in Peers.PASS)
    }
    return _rounded(ours), _rounded(others)


def figures(said: Said, trial: Trial, drop: float) -> dict[str, float]:
    """Return what is asked of a rule in this kind of world."""
    looks = said.episodes.shape[1]
    failed, passed, never = said.failed, said.passed, looks
    rolls_back, passes = failed < never, passed < failed

    def spent(at: Places) -> Floats:
        """The candidate's episodes at these looks; at the last where it never came."""
        return said.episodes[np.arange(at.size), np.minimum(at, looks - 1)]

    if trial.kind == "allowed":
        return {
            "rolled_back": rolls_back.mean(),
            "passed_first": passes.mean(),
            "median_candidate_episodes_to_fail": np.median(spent(failed)),
            "median_candidate_episodes_to_pass": np.median(spent(passed)),
        }
    if trial.kind == "late":
        # An episode belongs to the time it began in; looks know of those that began a grace ago.
        turn = int(np.searchsorted(trial.schedule.looks, trial.world.turns_at + trial.schedule.grace))
        before = spent(np.full(failed.size, turn))
        since = np.where(rolls_back, spent(failed), np.inf) - before
        good = failed > turn
        return {
            "false_rollback": 1 - good.mean(),
            "found": (good & rolls_back).sum() / max(good.sum(), 1),
            "median_candidate_episodes_since": np.median(since[good]),
        }
    if drop == 0 and not trial.world.silent:
        return {
            "false_rollback": rolls_back.mean(),
            "passed": (passed < never).mean(),
            "median_candidate_episodes_to_pass": np.median(spent(passed)),
        }
    found = rolls_back & ~passes
    return {
        "found": found.mean(),
        "wrongly_passed": passes.mean(),
        "median_candidate_episodes": np.median(spent(np.where(found, failed, never))),
        "median_minutes": np.median(np.where(found, failed + 1, never)) * trial.schedule.look / 60,
    }


def agree(
    course: Course,
    candidate: SoFar,
    stable: SoFar,
    *,
    schedule: Schedule,
    comparison: Comparison,
    budget: Budget,
    before: tuple[Floats, Places | None],
    rng: np.random.Generator,
) -> None:
    """Put some looks through `judge` and end the run when the arrays said anything else."""
    rollouts, looks = course.failed.shape
    for _ in range(SAMPLED_LOOKS):
        rollout, look = int(rng.integers(rollouts)), int(rng.integers(looks))
        # Half of them where the arrays first say something: elsewhere both are mostly silent.
        spoke = np.flatnonzero(course.failed[rollout] | course.passed[rollout])
        if spoke.size and rng.random() < 0.5:
            look = max(0, int(spoke[0]) - int(rng.integers(2)))
        sides = [_windows(side, rollout, look, schedule) for side in (candidate, stable)]
        known = earlier_of(*(None if part is None else part[rollout] for part in before))
        verdict = judge(comparison, *sides, budget=budget, earlier=known).verdict
        said = (bool(course.failed[rollout, look]), bool(course.passed[rollout, look]))
        if said != (verdict is Verdict.FAIL, verdict is Verdict.PASS):
            raise SystemExit(f"rollout {rollout}, look {look}: judge says {verdict}, the arrays (fail, pass) = {said}")


def _windows(side: SoFar, rollout: int, look: int, schedule: Schedule) -> list[StartWindow]:
    """As the logbook tells them at a look."""
    ripe, window = schedule.ripe[look], schedule.window_of_bin
    ends = [place for place in range(ripe) if place + 1 == ripe or window[place + 1] != window[place]]
    told = []
    for place in ends:
        count, missing, mean, m2, low, high = (
            float(getattr(side, name)[rollout, place]) for name in ("count", "missing", "mean", "m2", "low", "high")
        )
        start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=float(schedule.windows[window[place]]))
        shown = (mean, m2, low, high) if count else (None, 0.0, None, None)
        covariate = side.covariate
        if covariate is not None and count:
            shown = (*shown, tuple(_level(covariate, level, rollout, place) for level in range(LEVELS.size)))
        over = covariate is not None and bool(covariate.over[rollout, place])
        told.append(StartWindow(start, int(count), int(missing), *shown, over=over))
    return told


def _level(covariate: Covariate, level: int, rollout: int, place: int) -> Level | None:
    """The episodes of one level as the logbook tells them; None: there are none."""
    parts = (float(getattr(covariate, name)[rollout, place, level]) for name in ("count", "mean", "m2", "low", "high"))
    count, *rest = parts
    return Level(int(count), *rest) if count else None


def _first(said: Flags) -> Places:
    """Index of the first look that says so; the number of looks when none does."""
    return np.where(said.any(axis=1), said.argmax(axis=1), said.shape[1])


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in values.items()}
