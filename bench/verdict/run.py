"""False rollbacks, detection and the episodes it takes, on a time axis, beside the rules people write.

    make bench-verdict                 every world, two and a half to five minutes of one core
    make bench-verdict ARGS=--quick    a few worlds and rollouts

A rollout with an equal candidate that any test fails at any of 240 looks counts as a false rollback, also after it
passed: Fail holds at every step. A drop is found when Fail comes before Pass. Writes results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from belay_api.reasons import Verdict
from belay_operator.rollout.analysis.budget import Budget, split
from belay_operator.rollout.analysis.evidence import Better, Comparison, StartWindow
from belay_operator.rollout.analysis.verdict import judge
from ranges import check
from verdict import guards
from verdict.rules import Bins, Course, Schedule, belay, bins, naive
from verdict.world import World, simulate

HERE = Path(__file__).parent
AT_ONCE = 250  # rollouts in memory together
SAMPLED_LOOKS = 12  # per world and drop, put through the operator's own judge


def measure(
    name: str, world: World, drop: float, *, load: dict[str, Any], rollouts: int, budget: Budget
) -> dict[str, float]:
    """Return the figures of one world and drop, by name."""
    schedule = Schedule(**load["schedule"])
    rng = np.random.default_rng([load["seed"], round(1000 * drop), *name.encode()])
    comparison = Comparison("return", Better.MORE, margin=load["margin"], relative=True, binary=world.exact)
    failed, passed, episodes, others = [], [], [], []
    for first in range(0, rollouts, AT_ONCE):
        number = min(AT_ONCE, rollouts - first)
        drawn = simulate(world, drop=drop, rollouts=number, duration=schedule.duration, grace=schedule.grace, rng=rng)
        sides = [bins(drawn, candidate=side, schedule=schedule, rollouts=number) for side in (True, False)]
        course = belay(*sides, schedule=schedule, budget=budget, margin=load["margin"], binary=world.exact)
        if first == 0:
            _agree(course, *sides, schedule=schedule, comparison=comparison, budget=budget, rng=rng)
        failed.append(_first(course.failed))
        passed.append(_first(course.passed))
        episodes.append(course.episodes)
        others.append(naive(drawn, schedule=schedule, rollouts=number, alpha=budget.outcome))

    fail, good, counts = np.concatenate(failed), np.concatenate(passed), np.concatenate(episodes)
    looks = counts.shape[1]
    label = f"{name}.drop{round(100 * drop)}"
    at = np.minimum(fail, looks - 1)
    spent = counts[np.arange(rollouts), at]
    figures = {}
    if drop == 0 and not world.silent:
        figures["false_rollback"] = (fail < looks).mean()
        for rule in others[0]:
            figures[f"false_rollback.{rule}"] = np.concatenate([other[rule] for other in others]).mean()
        figures["passed"] = (good < looks).mean()
        figures["median_candidate_episodes_to_pass"] = np.median(
            counts[np.arange(rollouts), np.minimum(good, looks - 1)]
        )
    else:
        found = fail < good
        figures["found"] = found.mean()
        figures["wrongly_passed"] = (good < fail).mean()
        figures["median_candidate_episodes"] = np.median(np.where(found, spent, counts[:, -1]))
        figures["median_minutes"] = np.median(np.where(found, at + 1, looks)) * schedule.look / 60
    return {f"{label}.{figure}": round(float(value), 4) for figure, value in figures.items()}


def _first(said: np.ndarray) -> np.ndarray:
    """Index of the first look that says so; the number of looks when none does."""
    return np.where(said.any(axis=1), said.argmax(axis=1), said.shape[1])


def _agree(
    course: Course,
    candidate: Bins,
    stable: Bins,
    *,
    schedule: Schedule,
    comparison: Comparison,
    budget: Budget,
    rng: np.random.Generator,
) -> None:
    """Put some looks through `judge` and end the run when the arrays said anything else."""
    rollouts, looks = course.failed.shape
    lag, per = round(schedule.grace / schedule.look), round(schedule.window / schedule.look)
    for _ in range(SAMPLED_LOOKS):
        rollout, look = int(rng.integers(rollouts)), int(rng.integers(lag + 1, looks))
        sides = [_windows(side, rollout, look + 1 - lag, per, comparison) for side in (candidate, stable)]
        verdict = judge(comparison, *sides, budget=budget).verdict
        said = (bool(course.failed[rollout, look]), bool(course.passed[rollout, look]))
        if said != (verdict is Verdict.FAIL, verdict is Verdict.PASS):
            raise SystemExit(f"rollout {rollout}, look {look}: judge says {verdict}, the arrays (fail, pass) = {said}")


def _windows(side: Bins, rollout: int, ripe: int, per: int, comparison: Comparison) -> list[StartWindow]:
    windows = []
    for first in range(0, ripe, per):
        count, mean, m2, missing = (part[rollout] for part in side.window(first, min(first + per, ripe)))
        start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=first)
        low, high = (0.0, 1.0) if comparison.binary else (-1e9, 1e9)
        windows.append(
            StartWindow(start, int(count), int(missing), float(mean) if count else None, float(m2), low, high)
        )
    return windows


def main() -> int:
    """Run, print, write results.json, and hold the figures against their bands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few worlds and rollouts, under half a minute")
    kind = "quick" if parser.parse_args().quick else "full"
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    run = load["runs"][kind]
    budget = split(load["false_rollback_rate"], 1)

    began, measured = time.monotonic(), {}
    for name, values in load["worlds"].items():
        if run["worlds"] != "all" and name not in run["worlds"]:
            continue
        drops = values.pop("drops")
        for drop in drops:
            measured |= measure(name, World.read(values), drop, load=load, rollouts=run["rollouts"], budget=budget)
    seconds = time.monotonic() - began
    if kind == "full":
        results = {"rollouts": run["rollouts"], "figures": measured}
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    status = check(HERE / ("ranges.yaml" if kind == "full" else "ranges.quick.yaml"), measured)
    print(f"{run['rollouts']} rollouts a world and drop, {seconds:.0f} s")
    return max(status, guards.run(kind))


if __name__ == "__main__":
    sys.exit(main())
