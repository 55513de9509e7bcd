"""What the peers say of finished episodes; run in their environment, so it knows nothing of ours.

    python peers_worker.py QUESTION.npz ANSWER.npz     without arguments: whether everything can be imported

Each is used as its makers describe it, with one error for all: 1 % on one side for "the candidate is worse".

gbstats (GrowthBook): `SequentialTwoSidedTTest`, relative differences, at every look. It has two sides, so alpha is
    2 %; worse is an interval below 0. At its default tuning parameter, 5000, and at 200, where it is tightest for the
    sizes seen here. Nothing before one side's total is 150, the default minimum sample of a metric. No rule for Pass.
confidence (Spotify): `Experiment` with group-sequential bounds, a z-test at twelve looks planned at equal fractions of
    the episodes expected: worse is a significant decrease at 1 %, Pass is non-inferiority by 10 % at 2.5 %.
kayenta (Spinnaker): the Mann-Whitney classifier of NetflixACAJudge, by scipy: 98 % interval (two sides) of the shift,
    worse where its upper end is below -0.25 times the Hodges-Lehmann estimate. Every ten minutes over all so far, on
    the returns themselves. It has a Pass that is only the lack of a Fail; we do not call that one.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from threading import Lock

import numpy as np
import pandas as pd
import spotify_confidence
from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import SampleMeanStatistic
from scipy.stats import mannwhitneyu
from spotify_confidence.analysis.frequentist.confidence_computers import z_test_computer

ONE_SIDED = 0.01
WRONG_PASS, MARGIN = 0.025, 0.10
MINIMUM = 150
LOOKS, OF_EXPECTED = 12, 0.9  # a plan that the episodes of nearly every rollout fulfil
AT_ONCE = 25  # rollouts in one table: its cost is in the tables, not in what stands in them
EVERY_S, TOLERANCE = 600, 0.25

Sides = dict[str, np.ndarray]


class Rollout:
    """The finished episodes of one rollout at every look."""

    def __init__(self, asked: Sides, rollout: int) -> None:
        self._asked, self._rollout = asked, rollout

    def of(self, side: str, what: str) -> np.ndarray:
        """Return count, total or squares of one side, by look."""
        return self._asked[f"{side}_{what}"][self._rollout]

    def values(self, side: str, look: int) -> np.ndarray:
        """Return the returns of one side that are known at a look."""
        first = int(self._asked[f"{side}_first"][self._rollout, 0])
        return self._asked[f"{side}_value"][first : first + int(self.of(side, "count")[look])]


def gbstats(rollout: Rollout, tuning: float) -> int | None:
    """Return the first look at which it says worse."""
    config = SequentialConfig(alpha=2 * ONE_SIDED, sequential_tuning_parameter=tuning)
    sides = [[rollout.of(side, what) for what in ("count", "total", "squares")] for side in ("stable", "candidate")]
    for look in range(sides[0][0].size):
        stable, candidate = (
            SampleMeanStatistic(n=int(n[look]), sum=float(total[look]), sum_squares=float(squares[look]))
            for n, total, squares in sides
        )
        if min(stable.n, candidate.n) < 2 or max(stable.sum, candidate.sum) < MINIMUM:
            continue
        result = SequentialTwoSidedTTest(stable, candidate, config).compute_result()
        if result.error_message is None and result.ci[1] < 0:
            return look
    return None


def planned(rollout: Rollout, expected: float) -> list[tuple[int, float]]:
    """Return the looks at which each twelfth of the planned episodes is there, with how many those are."""
    finished = rollout.of("candidate", "count") + rollout.of("stable", "count")
    found = []
    for part in range(1, LOOKS + 1):
        wanted = round(OF_EXPECTED * expected * part / LOOKS)
        look = int(np.searchsorted(finished, wanted))
        if look < finished.size:
            found.append((look, wanted))
    return found


def confidence(rollouts: list[Rollout], expected: float) -> list[tuple[int | None, int | None]]:
    """Return per rollout the first look at which it says worse, and the first at which it says not inferior."""
    rows, looks = [], []
    for number, rollout in enumerate(rollouts):
        looks.append([])
        for look, wanted in planned(rollout, expected):
            counts = {side: float(rollout.of(side, "count")[look]) for side in ("stable", "candidate")}
            if min(counts.values()) < 2 or look in looks[number]:
                continue
            looks[number].append(look)
            # Bounds belong to the planned looks: the few episodes beyond the plan are used, not counted as information.
            scale = wanted / sum(counts.values())
            for side, count in counts.items():
                total, squares = (float(rollout.of(side, what)[look]) for what in ("total", "squares"))
                rows.append(
                    {
                        "rollout": number,
                        "look": len(looks[number]),
                        "side": side,
                        "episodes": count * scale,
                        "total": total * scale,
                        # Of equal returns rounding makes a variance below 0, which it refuses.
                        "squares": max(squares, total**2 / count * (1 + 1e-9)) * scale,
                        "planned": round(OF_EXPECTED * expected),
                        "method": "z-test",
                    }
                )
    if not rows:
        return [(None, None)] * len(rollouts)

    def first(alpha: float, claim: tuple[float | None, str]) -> dict[int, int]:
        experiment = spotify_confidence.Experiment(
            pd.DataFrame(rows),
            numerator_column="total",
            numerator_sum_squares_column="squares",
            denominator_column="episodes",
            categorical_group_columns=["rollout", "side"],
            ordinal_group_column="look",
            interval_size=1 - alpha,
            correction_method="bonferroni-only-count-twosided",  # rollouts are not comparisons of one experiment
            method_column="method",
            treatment_column="side",
            power=float("nan"),  # what a next experiment would need is not asked, and takes minutes for 0/1 outcomes
        )
        told = experiment.difference(
            level_1="stable",
            level_2="candidate",
            groupby=["rollout", "look"],
            absolute=False,
            non_inferiority_margins=claim,
            final_expected_sample_size_column="planned",
        )
        significant = told[told["is_significant"].astype(bool)].groupby("rollout")["look"].min()
        return {int(number): looks[int(number)][int(look) - 1] for number, look in significant.items()}

    worse, not_inferior = first(ONE_SIDED, (None, "decrease")), first(WRONG_PASS, (MARGIN, "increase"))
    return [(worse.get(number), not_inferior.get(number)) for number in range(len(rollouts))]


def kayenta(rollout: Rollout, looks: np.ndarray) -> int | None:
    """Return the first look at which it says low."""
    for look in np.flatnonzero(np.isclose(looks % EVERY_S, 0)):
        candidate, stable = (rollout.values(side, int(look)) for side in ("candidate", "stable"))
        if not candidate.size or not stable.size or np.unique(np.concatenate([candidate, stable])).size == 1:
            continue
        # The upper end of the interval of the shift lies below a point where a one-sided test rejects that point.
        if low(candidate, stable, 0.0) and low(candidate, stable, -TOLERANCE * abs(shift(candidate, stable))):
            return int(look)
    return None


def low(candidate: np.ndarray, stable: np.ndarray, point: float) -> bool:
    """Whether the candidate's shift against stable is below a point, at 1 % on one side."""
    tested = mannwhitneyu(candidate - point, stable, alternative="less", method="asymptotic", use_continuity=True)
    return bool(tested.pvalue < ONE_SIDED)


def shift(candidate: np.ndarray, stable: np.ndarray) -> float:
    """Return the median of all differences of a candidate's return and one of stable's (Hodges-Lehmann)."""
    ordered = np.sort(stable)
    least, most = candidate.min() - ordered[-1], candidate.max() - ordered[0]
    half = candidate.size * stable.size / 2
    for _ in range(40):
        middle = (least + most) / 2
        below = candidate.size * stable.size - np.searchsorted(ordered, candidate - middle).sum()
        least, most = (least, middle) if below >= half else (middle, most)
    return float(most)


def answers(asked: Sides) -> Iterator[tuple[str, np.ndarray]]:
    """Yield for each rule when it first fails and passes, per rollout; the number of looks for never."""
    looks, expected = asked["looks"], float(asked["expected"])
    rollouts, never = asked["stable_count"].shape[0], looks.size

    def column(found: list[int | None]) -> np.ndarray:
        return np.array([never if look is None else look for look in found])

    nobody = column([None] * rollouts)
    every = [Rollout(asked, rollout) for rollout in range(rollouts)]
    for name, tuning in (("gbstats", 5000.0), ("gbstats_200", 200.0)):
        yield f"{name}.failed", column([gbstats(one, tuning) for one in every])
        yield f"{name}.passed", nobody
    both = [
        said for first in range(0, rollouts, AT_ONCE) for said in confidence(every[first : first + AT_ONCE], expected)
    ]
    yield "confidence.failed", column([failed for failed, _ in both])
    yield "confidence.passed", column([passed for _, passed in both])
    yield "kayenta.failed", column([kayenta(one, looks) for one in every])
    yield "kayenta.passed", nobody


def remembered(solve: Callable[..., object]) -> Callable[..., object]:
    """The bounds of a plan are the same in every rollout, and take a third of a second."""
    known: dict[object, object] = {}
    one_at_a_time = Lock()

    @functools.wraps(solve)
    def bounds(t: np.ndarray, alpha: float, sides: int, state: object = None) -> object:
        plan = (tuple(np.round(t, 9)), alpha, sides)
        with one_at_a_time:
            if plan not in known:
                known[plan] = solve(t=t, alpha=alpha, sides=sides, state=state)
        return known[plan]

    return bounds


def main() -> None:
    """Answer a question."""
    if len(sys.argv) == 1:
        return
    z_test_computer.sequential_bounds = remembered(z_test_computer.sequential_bounds)
    with np.load(sys.argv[1]) as asked:
        np.savez(sys.argv[2], **dict(answers({name: asked[name] for name in asked.files})))


if __name__ == "__main__":
    main()
