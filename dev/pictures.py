"""Draw the pictures of docs/concepts/verdict.md with the operator's own functions.

    make pictures        installs matplotlib for it

What is drawn is simulated with fixed seeds, so a picture changes only where the rules do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import Bounds, Earlier, Outcomes
from belay_operator.rollout.analysis.limits import STAKES, Rail, against, started
from belay_operator.rollout.analysis.race import Race

Array = NDArray[np.float64]

STABLE, SPREAD = 300.0, 105.0  # mean and standard deviation of stable's returns
MARGIN = Margin(0.10, relative=True)
RANGE = Bounds(np.array(0.0), np.array(600.0))
PAST = Earlier(STABLE, SPREAD, 0.0, 600.0)
FAIL, PASS = 1 / (0.01 * 0.9 * 0.9), 1 / (0.025 * 0.9)  # of a first trial with one compared metric
PER_WINDOW = 10  # episodes of each side
RED, GREEN, GREY = "#c0392b", "#1e8449", "#7f8c8d"


def main() -> int:
    """Write all pictures."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/concepts/pictures")
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams |= {"svg.hashsalt": "belay", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    for name, draw in (("two_claims", two_claims), ("fractions", fractions), ("guard_rail", guard_rail)):
        figure = draw()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
        print(folder / f"{name}.svg")
    return 0


def two_claims() -> Figure:
    """The evidence for either claim over time, in one rollout of an equal candidate and one of a worse."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, worse, seed in ((axes[0], 0.0, 17), (axes[1], 0.1, 17)):
        race = _race(worse, rollouts=1, windows=40, seed=seed)
        episodes = np.arange(1, 41) * PER_WINDOW
        for evidence, level, color, name in (
            (race.worse(), FAIL, RED, "it is worse"),
            (race.better(), PASS, GREEN, "it is not worse by 10 %"),
        ):
            axis.plot(episodes, np.exp(evidence[0]), color=color, label=name)
            axis.axhline(level, color=color, lw=0.8, ls="--")
        axis.set(yscale="log", ylim=(1e-3, 1e4), xlabel="candidate's episodes", title=_title(worse))
    axes[0].set_ylabel("money of the gambler who bets on it")
    axes[0].annotate("Fail: 123 times", (5, FAIL), xytext=(0, 3), textcoords="offset points", color=RED)
    axes[0].annotate("Pass: 44 times", (5, PASS), xytext=(0, -11), textcoords="offset points", color=GREEN)
    axes[1].legend(frameon=False, loc="lower left")
    return figure


def fractions() -> Figure:
    """What becomes of candidates that are worse by a fraction of the margin."""
    parts, rollouts, windows = np.array([-0.5, 0, 0.25, 0.5, 0.75, 1, 1.5, 2]), 400, 400
    failed, passed, episodes = [], [], []
    for number, part in enumerate(parts):
        race = _race(part * MARGIN.value, rollouts=rollouts, windows=windows, seed=100 + number)
        fail, good = (_first(e, level) for e, level in ((race.worse(), FAIL), (race.better(), PASS)))
        failed.append((fail < good).mean())
        passed.append((good < fail).mean())
        episodes.append(np.median(np.minimum(np.minimum(fail, good), windows) + 1) * PER_WINDOW)
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _shares(left, parts, np.array(failed), np.array(passed))
    right.plot(parts, episodes, color=GREY, marker="o", ms=4)
    right.set(xlabel="worse by so many margins", ylabel="candidate's episodes until decided, median", ylim=(0, None))
    return figure


def guard_rail() -> Figure:
    """What a limit of 1 % does with a hiccup, a breach and an outage, at three requests a second."""
    rail, rng = Rail("latency", allowed=0.01), np.random.default_rng(5)
    blocks = 60
    sick = {"one bad block": [30], "5 % too slow": range(20, blocks), "everything fails": range(20, blocks)}
    level = {"one bad block": 1.0, "5 % too slow": 0.05, "everything fails": 1.0}
    figure = Figure(figsize=(8.4, 3.0), layout="constrained")
    for axis, name in zip(figure.subplots(1, 3, sharey=True), sick, strict=True):
        evidence, course = started(rail, np.zeros(STAKES.size)), []
        for block in range(blocks):
            requests = rng.poisson(3 * rail.block_s)
            bad = rng.binomial(requests, level[name] if block in sick[name] else 0.001)
            if requests:
                evidence = against(rail, evidence, bad / requests, rail.block_s)
            course.append(evidence.sum())
            if course[-1] >= 1:
                break
        seconds = rail.block_s * (1 + np.arange(len(course)))
        axis.plot(seconds, course, color=RED)
        axis.axhline(1, color=RED, lw=0.8, ls="--")
        axis.axvline(rail.block_s * sick[name][0], color=GREY, lw=0.8, ls=":")
        axis.set(yscale="log", ylim=(1e-5, 20), xlim=(0, blocks * rail.block_s), xlabel="seconds", title=name)
    figure.axes[0].set_ylabel("evidence against the limit")
    figure.axes[0].annotate("Fail", (5, 1), xytext=(0, 3), textcoords="offset points", color=RED)
    return figure


def _shares(axis: Axes, parts: Array, failed: Array, passed: Array) -> None:
    axis.plot(parts, passed, color=GREEN, marker="o", ms=4, label="passes an analyze")
    axis.plot(parts, failed, color=RED, marker="o", ms=4, label="is rolled back first")
    axis.axvspan(0, 1, color=GREY, alpha=0.12, lw=0)
    axis.annotate("either is right", (0.5, 0.06), ha="center", color=GREY)
    axis.set(xlabel="worse by so many margins", ylabel="share of rollouts", ylim=(-0.03, 1.03))
    axis.legend(frameon=False, loc="center right")


def _race(worse: float, *, rollouts: int, windows: int, seed: int) -> Race:
    """Rollouts with a candidate whose mean return is that share below stable's."""
    rng = np.random.default_rng(seed)
    sides = [_outcomes(rng, level, (rollouts, windows, PER_WINDOW)) for level in (1 - worse, 1.0)]
    return Race(MARGIN, *sides, RANGE, PAST)


def _outcomes(rng: np.random.Generator, level: float, shape: tuple[int, ...]) -> Outcomes:
    values = np.clip(rng.normal(STABLE, SPREAD, shape), 0, 600) * level
    mean = values.mean(axis=-1)
    m2 = ((values - mean[..., np.newaxis]) ** 2).sum(axis=-1)
    return Outcomes(np.full(mean.shape, float(shape[-1])), mean, m2, values.min(axis=-1), values.max(axis=-1))


def _first(log_evidence: Array, level: float) -> Array:
    """First window at which the evidence is enough; one beyond the last where it never is."""
    reached = log_evidence >= np.log(level)
    return np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1]).astype(np.float64)


def _title(worse: float) -> str:
    return f"a candidate that is {worse:.0%} worse" if worse else "an equal candidate"


if __name__ == "__main__":
    sys.exit(main())
