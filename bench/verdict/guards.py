"""Guard rails: how often a candidate that keeps its limit is rolled back, and how soon a breach is found.

    make bench-verdict                 with the rest of it
    python bench/verdict/guards.py     these worlds alone, about two minutes of one core; `--quick`: a few seconds

Requests are drawn per block of `tolerates`, for all runs of a cell at once, and judged by the operator's own functions
on arrays (`analysis.limits`); some runs are put second by second through what the operator does with scrapes
(`analysis.blocks`), and the two must agree. A day of watching begins with a weight increase. A breach begins with one
as well (`early`), or at a random second after an hour at a tenth of the limit (`later`). In a stall all is beyond.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from belay_operator.rollout.analysis.blocks import Held, hold
from belay_operator.rollout.analysis.limits import FAIL_AT, STAKES, Rail, against, cut, started
from belay_operator.rollout.facts import Counts, Scrape
from belay_operator.rollout.histogram import EMPTY
from ranges import check

HERE = Path(__file__).parent
HOUR_S, DAY_S = 3600, 86_400
AT_ONCE = 360  # blocks drawn together
FLOATS = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the candidate of a run answers."""

    rate: float  # requests per second
    share: float  # of them beyond the limit, over a long time
    clustered: bool = False  # the requests of a block go wrong together: correlation .3
    stall_s: float = 0.0  # above 0: all that is beyond is so in stalls of this mean length

    def blocks(self, number: int, runs: int, block_s: float, rng: np.random.Generator) -> tuple[FLOATS, FLOATS]:
        """Return requests and those beyond, (blocks, runs)."""
        size = (number, runs)
        requests = rng.poisson(self.rate * block_s, size)
        share = np.full(size, self.share)
        if self.clustered:
            a = 1 / 0.3 - 1
            share = rng.beta(self.share * a, (1 - self.share) * a, size)
        elif self.stall_s:
            share = self._stalled(number, runs, block_s, rng)
        return requests.astype(np.float64), rng.binomial(requests, share).astype(np.float64)

    def _stalled(self, number: int, runs: int, block_s: float, rng: np.random.Generator) -> FLOATS:
        """The share of each block's time that lies in a stall."""
        bad = np.zeros((number, runs))
        count = rng.poisson(number * block_s * self.share / self.stall_s, runs)
        run = np.repeat(np.arange(runs), count)
        start = rng.random(run.size) * number * block_s
        end = np.minimum(start + rng.exponential(self.stall_s, run.size), number * block_s)
        while run.size:
            block = np.minimum((start / block_s).astype(int), number - 1)
            upto = np.minimum(end, (block + 1) * block_s)
            np.add.at(bad, (block, run), (upto - start) / block_s)
            more = end > upto
            run, start, end = run[more], upto[more], end[more]
        return np.minimum(bad, 1.0)


def rolled_back(
    rail: Rail, traffic: Traffic, *, seconds: float, runs: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which runs are rolled back within that time, from a weight increase on."""
    evidence, failed = started(rail, np.zeros((STAKES.size, runs))), np.zeros(runs, bool)
    left = round(seconds / rail.block_s)
    while left > 0:
        number = min(left, AT_ONCE)
        left -= number
        for block in zip(*traffic.blocks(number, runs, rail.block_s, rng), strict=True):
            evidence = np.minimum(_judged(rail, evidence, *block), FAIL_AT)
            failed |= evidence.sum(axis=0) >= FAIL_AT
    return failed


def found_after(
    rail: Rail, breach: Traffic, *, health_s: float, horizon_s: float, runs: int, rng: np.random.Generator
) -> FLOATS:
    """Return after how many seconds of the breach each run is rolled back; infinite: not within the horizon."""
    evidence = started(rail, np.zeros((STAKES.size, runs)))
    well = Traffic(breach.rate, 0.1 * rail.allowed)
    for block in zip(*well.blocks(round(health_s / rail.block_s), runs, rail.block_s, rng), strict=True):
        evidence = _judged(rail, evidence, *block)
    shift = rng.random(runs) * rail.block_s if health_s else np.zeros(runs)
    at, second = np.full(runs, np.inf), 0.0
    while second < horizon_s and not np.isfinite(at).all():
        requests, beyond = breach.blocks(1 if second == 0 else 12, runs, rail.block_s, rng)
        if second == 0:  # the block in which it begins
            good = rng.binomial(requests[0].astype(int), shift / rail.block_s)
            bad = requests[0].astype(int) - good
            beyond[0] = rng.binomial(good, well.share) + rng.binomial(bad, breach.share)
        for block in zip(requests, beyond, strict=True):
            evidence = _judged(rail, evidence, *block)
            second += rail.block_s
            found = (evidence.sum(axis=0) >= FAIL_AT) & np.isinf(at)
            at[found] = second - shift[found]
    return at


def three_looks(traffic: Traffic, allowed: float, *, seconds: int, runs: int, rng: np.random.Generator) -> FLOATS:
    """Return which runs the rule before this one rolls back: three looks, a second apart, at the last 30 s."""
    requests, beyond = traffic.blocks(seconds, runs, 1.0, rng)
    sums = [np.cumsum(part, axis=0) for part in (requests, beyond)]
    last = [part - np.concatenate([np.zeros((30, runs)), part[:-30]]) for part in sums]
    counter, failed = np.zeros(runs), np.zeros(runs, bool)
    for number, wrong in zip(*last, strict=True):
        breach = np.where(wrong > allowed * number, counter + 1, np.maximum(counter - 1, 0))
        counter = np.where(number >= 10, breach, counter)
        failed |= counter >= 3
    return failed


def _judged(rail: Rail, evidence: FLOATS, requests: FLOATS, beyond: FLOATS) -> FLOATS:
    """Return the evidence after a block; where it has no requests, nothing changes."""
    after = against(rail, evidence, beyond / np.maximum(requests, 1), rail.block_s)
    return np.where(requests > 0, after, evidence)


def agree(rail: Rail, rng: np.random.Generator) -> None:
    """End the run when scrapes a second apart, judged as the operator does, say something else than the arrays."""
    traffic = Traffic(rate=30.0, share=1.5 * rail.allowed)
    requests, beyond = traffic.blocks(round(300 / rail.block_s * rail.block_s), 1, 1.0, rng)
    totals = np.cumsum(np.concatenate([[[0.0, 0.0]], np.stack([requests[:, 0], beyond[:, 0]], axis=1)]), axis=0)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    scrapes = [Scrape(i, float(i), 0.0, came, wrong, EMPTY) for i, (came, wrong) in enumerate(totals.tolist())]
    held = Held(counting=began, scrape=0)
    for upto in range(1, len(scrapes) + 1):  # a look a second, each recorded
        seen = Counts(began, scrapes[:upto], lambda one: (one.requests, one.errors), weight_since=began)
        held = hold(rail, seen, held, (began, 10.0))
    block = round(rail.block_s)
    grouped = [part[: len(part) // block * block].reshape(-1, block, 1).sum(axis=1) for part in (requests, beyond)]
    evidence = started(rail, np.zeros((STAKES.size, 1)))
    for one in zip(*grouped, strict=True):
        evidence = cut(_judged(rail, evidence, *one))
    if not np.allclose(evidence[:, 0], held.evidence):
        raise SystemExit(f"{rail.metric}: the operator's evidence is {held.evidence}, the arrays' {evidence[:, 0]}")


@dataclass(frozen=True, slots=True)
class Bench:
    """One rail, and what it is put through."""

    rail: Rail
    breaches: dict[str, float]
    load: dict[str, Any]
    run: dict[str, Any]
    rng: np.random.Generator

    def figures(self) -> Iterator[tuple[str, float]]:
        """Yield all figures with their names."""
        agree(self.rail, self.rng)
        for figure, value in (*self.healthy(), *self.bursts(), *self.breached()):
            yield f"{self.rail.metric}.{figure}", round(float(value), 4)

    def healthy(self) -> Iterator[tuple[str, float]]:
        """How often a candidate that keeps its limit, or is exactly on it, is rolled back."""
        for times, days in self.run["days"].items():
            cells = [
                rolled_back(self.rail, self._keeping(rate, times), seconds=DAY_S, runs=days, rng=self.rng)
                for rate in self.load["rates"]
            ]
            yield f"keeps_{times:g}.rolled_back_a_day", np.mean(cells)
        for rate in self.load["three_looks"]:
            traffic = self._keeping(rate, 0.1)
            seen = three_looks(traffic, self.rail.allowed, seconds=HOUR_S, runs=100, rng=self.rng)
            yield f"keeps_0.1.rate{rate:g}.rolled_back_an_hour.three_looks", seen.mean()

    def bursts(self) -> Iterator[tuple[str, float]]:
        """The same where requests go wrong together."""
        for kind, said in self.load["bursts"].items():
            for times in said["keeps"]:
                traffic = self._keeping(30.0, times, **said["traffic"])
                days = self.run["burst_days"]
                failed = rolled_back(self.rail, traffic, seconds=DAY_S, runs=days, rng=self.rng)
                yield f"{kind}.keeps_{times:g}.rolled_back_a_day", failed.mean()

    def breached(self) -> Iterator[tuple[str, float]]:
        """How soon a breach is found."""
        whens = {"early": 0, "later": HOUR_S}
        for (kind, share), rate, when in product(self.breaches.items(), self.load["rates"], whens):
            if share * rate < self.load["least_bad_per_s"]:
                continue
            at = found_after(
                self.rail,
                Traffic(rate, share),
                health_s=whens[when],
                horizon_s=self.load["horizon_s"],
                runs=self.run["breaches"],
                rng=self.rng,
            )
            yield f"{kind}.rate{rate:g}.{when}.median_s", np.median(at)
            yield f"{kind}.rate{rate:g}.{when}.p90_s", np.quantile(at, 0.9)

    def _keeping(self, rate: float, times: float, **rest: Any) -> Traffic:
        return Traffic(rate, times * self.rail.allowed, **rest)


def run(kind: str) -> int:
    """Measure, print, hold against the bands; return the exit status. kind: full or quick."""
    load = yaml.safe_load((HERE / "guards.yaml").read_text())
    began = time.monotonic()
    rng = np.random.default_rng(load["seed"])
    figures: dict[str, float] = {}
    for name, said in load["rails"].items():
        rail = Rail(name, allowed=said["allowed"])
        figures |= Bench(rail, said["breaches"], load, load["runs"][kind], rng).figures()
    print(f"guard rails: {time.monotonic() - began:.0f} s")
    return check(HERE / ("ranges.guards.yaml" if kind == "full" else "ranges.guards.quick.yaml"), figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    sys.exit(run("quick" if parser.parse_args().quick else "full"))
