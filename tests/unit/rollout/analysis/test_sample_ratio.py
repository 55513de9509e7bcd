"""Starts against the weights: the promise while nothing is lost, how soon a loss is found, and what bunches do."""

import math

import numpy as np
import pytest
from tests.chance import crossings, most_by_chance

from belay_operator.rollout.analysis.bet import Array
from belay_operator.rollout.analysis.sample_ratio import (
    ALARM,
    ODDS,
    PURSE,
    Cell,
    bunches,
    log_money,
    ratio,
)

EACH = 20  # starts of both sides in a cell
RUNS = 2_000


def starts(
    weight: Array, *, lost: float = 0.0, onset: int = 0, bunch: int = 1, runs: int = RUNS, seed: int = 1
) -> tuple[Array, Array]:
    """Starts of both sides; a share of the candidate's is lost from the cell `onset` on, and `bunch` go together."""
    rng = np.random.default_rng(seed)
    total = rng.poisson(EACH / bunch, (runs, weight.size))
    candidate = rng.binomial(total, weight)
    kept = np.where(np.arange(weight.size) < onset, 1.0, 1 - lost)
    return rng.binomial(candidate * bunch, kept).astype(float), ((total - candidate) * bunch).astype(float)


def first_alarm(weight: Array, onset: int = 0, **how: float) -> Array:
    """Starts of both sides from the onset to the alarm, per rollout; inf: there was none."""
    alarm = log_money(*starts(weight, onset=onset, **how), weight) >= math.log(ALARM)  # type: ignore[arg-type]
    return np.where(alarm.any(axis=-1), (alarm.argmax(axis=-1) + 1 - onset) * float(EACH), np.inf)


@pytest.mark.parametrize(
    "weights", [[0.5], [0.1], [0.05, 0.25, 0.5], [0.01, 0.9]], ids=["even", "a tenth", "ramp", "extremes"]
)
def test_starts_by_chance_alarm_no_more_often_than_promised(weights: list[float]) -> None:
    weight = np.repeat(weights, 420 // len(weights))
    assert crossings(log_money(*starts(weight), weight), 1 / ALARM) <= most_by_chance(RUNS, 1 / ALARM)


def test_the_promise_holds_at_every_single_start_and_not_only_on_average() -> None:
    """Cells of one start each: the money after a fair bet is worth at most what was laid out, exactly."""
    weight, cells = 0.3, 9
    total = 0.0
    for outcome in range(2**cells):
        candidate = np.array([float(outcome >> cell & 1) for cell in range(cells)])
        chance = math.prod(weight if one else 1 - weight for one in candidate)
        total += chance * math.exp(log_money(candidate, 1 - candidate, np.full(cells, weight))[-1])
    assert total <= 1 + 1e-12


@pytest.mark.parametrize(("weight", "lost", "within"), [(0.5, 0.3, 1_300), (0.1, 0.3, 2_800), (0.5, 0.1, 10_000)])
def test_a_loss_is_found(weight: float, lost: float, within: float) -> None:
    assert np.median(first_alarm(np.full(1_000, weight), lost=lost, runs=300)) <= within


def test_a_loss_that_begins_late_is_found_by_fresh_money() -> None:
    """All money at once takes 8,000 starts: it has to win back first what it lost while nothing was wrong.

    After 10,000 cells, a week, as soon.
    """
    for onset, runs in ((1_000, 300), (10_000, 40)):
        assert np.median(first_alarm(np.full(onset + 200, 0.5), lost=0.3, onset=onset, runs=runs)) <= 2_000


def test_episodes_that_begin_together_are_no_mismatch() -> None:
    """Eight first decisions in one request, as a client may send them; counted singly, every rollout alarms."""
    for weight in (0.1, 0.5):
        assert np.isfinite(first_alarm(np.full(600, weight), bunch=8, runs=300)).mean() <= 0.06


def test_bunches_are_told_from_earlier_cells_only() -> None:
    rng = np.random.default_rng(2)
    candidate, stable = (rng.poisson(10, (2, 8)).astype(float) for _ in range(2))
    weight = np.repeat([0.5, 0.2], 4)
    before = bunches(candidate, stable, weight)
    candidate[:, 5] += 50
    assert bunches(candidate, stable, weight)[:, :6] == pytest.approx(before[:, :6])
    assert (before >= 1).all()
    assert (bunches(8 * candidate, 8 * stable, weight)[:, -1] > 2).all()


def test_the_money_is_what_each_deposit_became() -> None:
    """By the definition, one deposit at a time."""
    rng = np.random.default_rng(3)
    weight = np.repeat([0.1, 0.4], 5)
    candidate, stable = rng.poisson(30 * weight), rng.poisson(30 * (1 - weight))
    spread = bunches(candidate.astype(float), stable.astype(float), weight)
    left, pots = 1.0, []
    for cell, w in enumerate(weight):
        rest = (1 - PURSE.at_first) * PURSE.half_after / (PURSE.half_after + cell)
        pots.append((left - rest) * PURSE.money)
        left = rest
        p = ODDS * w / (ODDS * w + 1 - w)
        gain = ((p / w) ** candidate[cell] * ((1 - p) / (1 - w)) ** stable[cell]) ** (1 / spread[cell])
        pots = [pot * gain for pot in pots]
    found = ratio([Cell(int(c), int(s), float(w)) for c, s, w in zip(candidate, stable, weight, strict=True)])
    assert found is not None
    assert math.exp(found.log_money) == pytest.approx(left + sum(pot.sum() for pot in pots))
    assert found.starts == candidate.sum() + stable.sum()
    assert found.seen == pytest.approx(candidate.sum() / found.starts)
    assert found.asked == pytest.approx((weight * (candidate + stable)).sum() / found.starts)


def test_without_starts_nothing_is_said() -> None:
    assert ratio([]) is None
    assert ratio([Cell(0, 0, 0.1)]) is None
    assert ratio([Cell(2, 18, 0.1)]) is not None
