"""The watch after a promotion: false alarms a month, when a fall is found, and when its alarm ends.

    make bench-verdict                  with the rest of it
    python bench/verdict/watched.py     this alone; `--quick`: a few seconds

Windows go through what the operator does with the logbook's answers (`rollout.watch.looked`), an hour of them at a
look, so that what is recorded and rounded is measured too.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.metric import Metric
from belay_api.rollout.status import WatchStatus
from belay_api.rollout.watch import WatchSpec
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_operator.rollout import watch
from belay_operator.rollout.facts import OutcomeQuery, Reading
from ranges import check

HERE = Path(__file__).parent
POLICY = "promoted"
WINDOW = timedelta(minutes=5)
DAY, MONTH = 288, 8640  # windows
A_LOOK = 12  # windows
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FLOATS = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Turn:
    """The watch found the version worse, or that it is so no longer."""

    window: int  # that it followed from
    degraded: bool


class Promoted:
    """One version after its promotion."""

    def __init__(self, load: dict[str, Any], rng: np.random.Generator) -> None:
        self._load, self._rng = load, rng
        low, high = load["range"]
        metric = {
            "name": "return",
            "source": {"logbook": {"outcome": "return"}},
            "compare": {"maxRegression": f"{load['margin']:.0%}", "range": {"low": low, "high": high}},
        }
        self._analysis = AnalysisSpec.model_validate({"metrics": [metric]})
        self._metric: Metric = self._analysis.metrics[0]
        self._spec = WatchSpec(false_alarms_per_month=load["false_alarms_per_month"])
        (record,) = watch.anew(POLICY, self._analysis, [], BEGAN)
        self._record, self._done = record, 0
        self.see(np.full(1, float(load["mean"])), episodes=load["reference"])
        if self._record.reference is None:
            raise SystemExit("watched: no reference was made of what should be one")

    @property
    def least(self) -> float:
        """The mean from which on nothing is wrong."""
        return self._record.least or math.nan

    def see(self, means: FLOATS, *, episodes: float) -> list[Turn]:
        """Return what the watch says of windows with these means, and a Poisson number of episodes around that one."""
        turns = []
        for at in range(0, len(means), A_LOOK):
            reading = self._reading(means[at : at + A_LOOK], episodes)
            while True:  # what follows a turn is counted by another look, as a second later
                before, self._record = self._record, self._looked(reading)
                if (before.degraded_since is None) == (self._record.degraded_since is None):
                    break
                window = round((self._record.counted_until - BEGAN) / WINDOW) - 1
                turns.append(Turn(window, self._record.degraded_since is not None))
        return turns

    def _looked(self, reading: Reading) -> WatchStatus:
        now = BEGAN + self._done * WINDOW
        return watch.looked(self._record, self._metric, reading, analysis=self._analysis, spec=self._spec, now=now)

    def _reading(self, means: FLOATS, episodes: float) -> Reading:
        windows = []
        for mean in means.tolist():
            count = self._rng.poisson(episodes) if self._done else round(episodes)
            start, self._done = BEGAN + self._done * WINDOW, self._done + 1
            if count:
                values = np.clip(self._rng.normal(mean, self._load["spread"], count), *self._load["range"])
                told = {"mean": values.mean(), "m2": ((values - values.mean()) ** 2).sum()}
                windows.append(
                    WindowStatistics(start=start, count=count, missing=0, min=values.min(), max=values.max(), **told)
                )
        version = VersionStatistics(version=POLICY, windows=windows)
        at = BEGAN + self._done * WINDOW
        answer = Statistics(outcome="return", at=at, etag=str(self._done), versions=[version])
        return Reading("", at, windows=answer, outcome_query=OutcomeQuery("return", WINDOW.total_seconds(), 0.0))


def month(load: dict[str, Any], world: dict[str, Any], rng: np.random.Generator) -> int:
    """Return the alarms of 30 days."""
    one = Promoted(load, rng)
    episodes = world.get("episodes_per_window", load["episodes_per_window"])
    turns = one.see(_means(one, load["mean"], world, rng), episodes=episodes)
    return sum(turn.degraded for turn in turns)


def _means(one: Promoted, mean: float, world: dict[str, Any], rng: np.random.Generator) -> FLOATS:
    means = np.full(MONTH, one.least if world.get("at_least") else mean)
    means = means * (1 + world.get("wave", 0.0) * np.sin(np.arange(MONTH) * 2 * np.pi / DAY))
    if spread := world.get("ar1"):
        keeps = math.exp(-WINDOW / timedelta(hours=world["hours"]))
        beside, news = np.zeros(MONTH), rng.normal(0, spread * math.sqrt(1 - keeps**2), MONTH)
        for window in range(1, MONTH):
            beside[window] = keeps * beside[window - 1] + news[window]
        means = means * (1 + beside)
    return means


def fallen(load: dict[str, Any], fall: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return after how many windows a fall is found, and after how many of health its alarm ends; infinite: not so."""
    one, episodes = Promoted(load, rng), load["episodes_per_window"]
    one.see(np.full(DAY, float(load["mean"])), episodes=episodes)
    began = 1 + DAY
    alarms = [turn for turn in one.see(np.full(DAY, load["mean"] * (1 - fall)), episodes=episodes) if turn.degraded]
    ends = [turn for turn in one.see(np.full(DAY, float(load["mean"])), episodes=episodes) if not turn.degraded]
    found = alarms[0].window - began + 1 if alarms else math.inf
    return found, ends[0].window - began - DAY + 1 if alarms and ends else math.inf


def figures(load: dict[str, Any], runs: dict[str, int], rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """Yield all figures with their names."""
    for name, world in load["months"].items():
        alarms = [month(load, world, rng) for _ in range(runs["months"])]
        yield f"{name}.alarms_a_month", float(np.mean(alarms))
        yield f"{name}.months_with_an_alarm", float(np.mean(np.array(alarms) > 0))
    for fall in load["falls"]:
        found, over = np.array([fallen(load, fall, rng) for _ in range(runs["falls"])]).T
        yield f"fall_{fall:.0%}.found_within_a_day", float(np.isfinite(found).mean())
        if np.isfinite(found).mean() > 0.5:
            yield f"fall_{fall:.0%}.median_windows", float(np.median(found))
            yield f"fall_{fall:.0%}.median_windows_to_its_end", float(np.median(over[np.isfinite(found)]))


def run(kind: str) -> int:
    """Measure, print, hold against the bands; return the exit status. kind: full or quick."""
    load = yaml.safe_load((HERE / "watched.yaml").read_text())
    began, rng = time.monotonic(), np.random.default_rng(load["seed"])
    measured = {}
    for name, value in figures(load, load["runs"][kind], rng):
        measured[name] = round(value, 4)
        print(f"{time.monotonic() - began:6.0f} s  {name} {measured[name]:g}", file=sys.stderr)
    return check(HERE / ("ranges.watched.yaml" if kind == "full" else "ranges.watched.quick.yaml"), measured)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    sys.exit(run("quick" if parser.parse_args().quick else "full"))
