"""The bet on outcomes less what stable's critic expected: fair whatever the slopes, never above the single episodes, as
without a covariate where there is none or it explains nothing, and from earlier windows only."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.chance import crossings, most_by_chance
from tests.windows import foreseen, outcomes

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import (
    PURSES,
    Bet,
    Bounds,
    Direction,
    Earlier,
    Outcomes,
    adjusting,
    place,
)
from belay_operator.rollout.analysis.covariate import END, LEVELS, EarlierCovariate
from belay_operator.rollout.analysis.evidence import Level, StartWindow, earlier, pair
from belay_operator.rollout.analysis.race import Race

Floats = NDArray[np.float64]
Levels = NDArray[np.int64]
TENTH = Margin(0.1, relative=True)
RANGE = Bounds(np.array(0.0), np.array(600.0))
KNOWN = Earlier(300.0, 100.0, 0.0, 600.0, EarlierCovariate(99.0, 99 * 100.0**2, 99 * 0.32, 99 * 0.32 * 125))
"""A slope of 125 explains half."""


def drawn(rng: np.random.Generator, shape: tuple[int, ...], mean: float, slope: float) -> tuple[Floats, Levels]:
    """Returns with a standard deviation of 100, of which the slope explains its part."""
    level = rng.integers(0, LEVELS.size, shape)
    rest = math.sqrt(max(100.0**2 - slope**2 * LEVELS.var(), 0.0))
    return np.clip(mean + slope * LEVELS[level] + rest * rng.standard_normal(shape), 0, 600), level


def race(candidate: Outcomes, stable: Outcomes, known: Earlier | None = KNOWN) -> Race:
    return Race(TENTH, candidate, stable, RANGE, known)


def without(side: Outcomes) -> Outcomes:
    return replace(side, covariate=None)


def single(bet: Bet, sides: tuple[tuple[Floats, Levels], tuple[Floats, Levels]]) -> Floats:
    """What the bet pays for the episodes themselves."""
    assert bet.slope is not None
    d, (candidate, stable) = float(bet.direction), sides
    share = candidate[0].shape[-1] / (candidate[0].shape[-1] + stable[0].shape[-1])
    slope, centre, factor = (part[..., np.newaxis] for part in (bet.slope, bet.centre, bet.factor))
    gains = []
    for aim in range(bet.stake.shape[-1]):
        stake, shift = bet.stake[..., aim, np.newaxis], bet.shift[..., aim, np.newaxis]
        on_c = d * (1 - share) * (candidate[0] - slope * LEVELS[candidate[1]] - centre)
        on_s = -d * share * (factor * stable[0] + shift - slope * LEVELS[stable[1]] - centre)
        gains.append(np.log1p(stake * on_c).sum(-1) + np.log1p(stake * on_s).sum(-1))
    return np.stack(gains, axis=-1)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("slope", [125.0, -170.0])
def test_never_more_than_the_single_episodes_pay(direction: Direction, slope: float) -> None:
    rng, used = np.random.default_rng(1), 0
    for _ in range(60):
        sizes = [(8, int(size)) for size in rng.integers(1, 25, 2)]
        sides = drawn(rng, sizes[0], 280, slope), drawn(rng, sizes[1], 300, slope)
        known = foreseen(*sides[0]), foreseen(*sides[1])
        bet = place(direction, TENTH, *known, RANGE, earlier=KNOWN)
        paid = single(bet, sides)
        assert (bet.log_gain(*known) <= paid + 1e-9).all()
        few = max(size for _, size in sizes) <= 3
        assert not few or np.allclose(bet.log_gain(*known), paid, atol=1e-6)
        used += int((np.asarray(bet.slope) != 0).sum())
    assert used > 100


def test_the_worst_within_the_range_loses_no_more_than_the_stake() -> None:
    """Every outcome at the end of the range that hurts, at the level that makes it worse."""
    rng = np.random.default_rng(2)
    sides = drawn(rng, (12, 3), 300, 125), drawn(rng, (12, 9), 300, 125)
    for direction in Direction:
        bet = place(direction, TENTH, foreseen(*sides[0]), foreseen(*sides[1]), RANGE, earlier=KNOWN)
        ends = [
            (np.full(side[0].shape, end), np.full(side[1].shape, level))
            for side, end, level in zip(
                sides, (600.0, 0.0)[:: -int(direction)], (0, 4)[:: -int(direction)], strict=True
            )
        ]
        assert np.isfinite(single(bet, (ends[0], ends[1]))).all()


def test_without_a_covariate_nothing_changes() -> None:
    """To the bit: also where it stands there and explains nothing, or is not known of one episode in each window."""
    rng = np.random.default_rng(3)
    candidate, stable = drawn(rng, (5, 30, 6), 280, 0), drawn(rng, (5, 30, 6), 300, 0)
    plain = race(outcomes(candidate[0]), outcomes(stable[0]), replace(KNOWN, covariate=None))
    useless = race(foreseen(*candidate), foreseen(*stable), replace(KNOWN, covariate=None))
    sides = [foreseen(*side) for side in (drawn(rng, (5, 30, 6), 280, 125), drawn(rng, (5, 30, 6), 300, 125))]
    lacking = replace(sides[0].covariate, known=np.zeros((5, 30), dtype=bool))
    unknown = race(replace(sides[0], covariate=lacking), sides[1])
    for direction in Direction:
        used = [np.asarray(_bet(it, direction).slope) != 0 for it in (useless, unknown)]
        assert used[0].mean() < 0.02
        assert not used[1].any()
        whole = ~used[0].any(axis=-1)
        found = _evidence(useless, direction)
        np.testing.assert_array_equal(found[whole], _evidence(plain, direction)[whole])
        without_x = race(without(unknown.candidate), without(unknown.stable))
        np.testing.assert_array_equal(_evidence(unknown, direction), _evidence(without_x, direction))


def test_the_slope_and_the_stakes_come_from_earlier_windows_only() -> None:
    rng = np.random.default_rng(4)
    candidate, stable = drawn(rng, (9, 8), 300, 125), drawn(rng, (9, 8), 300, 125)
    changed = candidate[0].copy(), candidate[1].copy()
    changed[0][4], changed[1][4] = changed[0][4][::-1], np.sort(changed[1][4])
    for direction in Direction:
        bets = [
            place(direction, TENTH, foreseen(*side), foreseen(*stable), RANGE, earlier=KNOWN)
            for side in (candidate, changed)
        ]
        for part in ("stake", "centre", "slope", "shift"):
            before, after = (np.asarray(getattr(bet, part)) for bet in bets)
            np.testing.assert_array_equal(before[:5], after[:5])
        assert not np.array_equal(bets[0].slope[5:], bets[1].slope[5:])


def test_nothing_known_before_takes_nothing_off_the_first_window() -> None:
    rng = np.random.default_rng(5)
    sides = [foreseen(*drawn(rng, (40, 8), 300, 125)) for _ in range(2)]
    slope = place(Direction.WORSE, TENTH, *sides, RANGE, earlier=replace(KNOWN, covariate=None)).slope
    assert slope is not None
    assert slope[0] == 0
    assert (slope[20:] != 0).all()
    assert (np.abs(slope) <= 250).all()


def test_a_window_without_the_covariate_of_an_episode_counts_as_it_is() -> None:
    rng = np.random.default_rng(6)
    sides = [foreseen(*drawn(rng, (20, 8), mean, 125)) for mean in (270, 300)]
    lacking = np.ones(20, dtype=bool)
    lacking[7] = False
    missing = replace(
        sides[0],
        covariate=replace(sides[0].covariate, known=lacking, count=sides[0].covariate.count * lacking[:, np.newaxis]),
    )
    bet = place(Direction.WORSE, TENTH, missing, sides[1], RANGE, earlier=KNOWN)
    plain = place(Direction.WORSE, TENTH, *map(without, sides), RANGE, earlier=KNOWN)
    np.testing.assert_array_equal(bet.log_gain(missing, sides[1])[7], plain.log_gain(*map(without, sides))[7])
    assert bet.slope is not None
    assert (np.delete(bet.slope, 7) != 0).all()


def test_a_window_that_may_still_lack_one_counts_for_no_more_than_without() -> None:
    rng = np.random.default_rng(7)
    sides = [foreseen(*drawn(rng, (20, 8), mean, 125)) for mean in (270, 300)]
    open_ = [replace(side, covariate=replace(side.covariate, over=np.zeros(20, dtype=bool))) for side in sides]
    over, filling = race(*sides), race(*open_)
    bet, plain = _bet(over, Direction.WORSE), place(Direction.WORSE, TENTH, *sides, RANGE, earlier=KNOWN, adjust=False)
    least = np.minimum(bet.log_gain(*sides), plain.log_gain(*sides))
    assert (filling.worse() <= over.worse() + 1e-12).all()
    assert filling.worse()[0] == pytest.approx(
        np.log((PURSES[Direction.WORSE].money * np.exp(least[0])).sum() * 0.9 + 0.1), abs=1e-9
    )


def test_what_is_explained_is_told() -> None:
    rng = np.random.default_rng(8)
    sides = [foreseen(*drawn(rng, (40, 20), 300, 125)) for _ in range(2)]
    assert race(*sides).explained == pytest.approx(0.5, abs=0.06)
    nothing = [foreseen(*drawn(rng, (40, 20), 300, 0)) for _ in range(2)]
    assert race(*nothing, replace(KNOWN, covariate=None)).explained is None
    assert race(*map(without, sides)).explained is None


def test_mirrored_it_is_the_same_bet() -> None:
    rng = np.random.default_rng(9)
    sides = [drawn(rng, (15, 6), mean, 125) for mean in (285, 300)]
    costs = race(*(foreseen(-value, level).mirrored() for value, level in sides))
    np.testing.assert_allclose(costs.worse(), race(*(foreseen(*side) for side in sides)).worse(), atol=1e-9)
    turned = KNOWN.mirrored()
    assert turned.covariate is not None
    assert turned.covariate.cross == -99 * 0.32 * 125


SLOPES = {"same": (125.0, 125.0), "stable's alone": (0.0, 125.0), "opposite": (-150.0, 150.0), "none": (0.0, 0.0)}


@pytest.mark.parametrize("slopes", SLOPES)
@pytest.mark.parametrize("each", [(6, 6), (2, 18), (2, 2)])
@pytest.mark.parametrize("served", [0, 1])
def test_an_equal_mean_fails_and_a_worse_one_passes_no_more_often_than_promised(
    slopes: str, each: tuple[int, int], served: int
) -> None:
    """Whatever the slopes of either side; also where every episode is served from a start that training rarely saw."""
    rng, runs, windows = np.random.default_rng(10), 500, 40
    of_candidate, of_stable = SLOPES[slopes]
    where = of_candidate * LEVELS[3:].mean(), of_stable * LEVELS[3:].mean()

    def side(size: int, mean: float, slope: float, off: float) -> Outcomes:
        level = rng.integers(3 if served else 0, LEVELS.size, (runs, windows, size))
        value = mean + slope * LEVELS[level] - (off if served else 0.0) + 60 * rng.standard_normal(level.shape)
        return foreseen(np.clip(value, -300, 900), level)

    wide = Bounds(np.array(-300.0), np.array(900.0))
    stable = side(each[1], 300, of_stable, where[1])
    equal, worse = (side(each[0], mean, of_candidate, where[0]) for mean in (300, 270))
    alpha = 0.05
    assert crossings(Race(TENTH, equal, stable, wide, KNOWN).worse(), alpha) <= most_by_chance(runs, alpha)
    assert crossings(Race(TENTH, worse, stable, wide, KNOWN).better(), alpha) <= most_by_chance(runs, alpha)


def test_half_explained_finds_a_drop_with_two_thirds_of_the_episodes() -> None:
    rng, runs = np.random.default_rng(11), 200
    candidate, stable = (drawn(rng, (runs, 90, 6), mean, 125) for mean in (270, 300))
    with_x = race(foreseen(*candidate), foreseen(*stable)).worse()
    plain = race(outcomes(candidate[0]), outcomes(stable[0])).worse()
    medians = [np.median((it >= math.log(1 / 0.009)).argmax(axis=-1)) for it in (with_x, plain)]
    assert medians[0] <= 0.72 * medians[1]


def test_where_the_range_leaves_no_room_less_or_nothing_is_taken_off() -> None:
    """Outcomes that hardly vary within a wide range: stakes are held down by the range, so less noise buys nothing."""
    rng = np.random.default_rng(12)
    sides = [drawn(rng, (40, 8), 300, 125) for _ in range(2)]
    tight = [foreseen(300 + (value - 300) / 10, level) for value, level in sides]
    narrow = replace(KNOWN, spread=10.0, covariate=EarlierCovariate(99.0, 99 * 100.0, 99 * 0.32, 99 * 0.32 * 12.5))
    wide = place(Direction.WORSE, TENTH, *tight, RANGE, earlier=narrow)
    free = place(Direction.WORSE, TENTH, *(foreseen(*side) for side in sides), RANGE, earlier=KNOWN)
    off = adjusting(*tight, narrow)
    assert off is not None
    assert wide.slope is not None
    assert free.slope is not None
    assert (np.abs(wide.slope) < 0.9 * np.abs(off.slope)).all()
    assert np.abs(free.slope).mean() > 60
    assert LEVELS.max() == END


def window(minute: int, values: Floats, level: Levels | None, *, over: bool = True) -> StartWindow:
    told = None
    if level is not None:
        parts = [values[level == one] for one in range(LEVELS.size)]
        told = tuple(
            Level(part.size, part.mean(), ((part - part.mean()) ** 2).sum(), part.min(), part.max())
            if part.size
            else None
            for part in parts
        )
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    m2 = float(((values - values.mean()) ** 2).sum())
    return StartWindow(start, values.size, 0, values.mean(), m2, values.min(), values.max(), told, over=over)


def test_windows_become_arrays_and_a_side_without_windows_is_no_obstacle() -> None:
    rng = np.random.default_rng(13)
    told = [drawn(rng, (7,), 300, 125) for _ in range(3)]
    paired = pair(
        [window(0, *told[0]), window(1, *told[1], over=False)], [window(0, told[2][0], None), window(2, *told[2])]
    )
    candidate, stable = paired.candidate.covariate, paired.stable.covariate
    assert candidate is not None
    assert stable is not None
    assert candidate.known.tolist() == [True, True, True]
    assert stable.known.tolist() == [False, True, True]
    assert candidate.over.tolist() == [True, False, False]
    assert stable.count.sum(axis=-1).tolist() == [0, 0, 7]
    assert pair([window(0, told[0][0], None)], []).candidate.covariate is None


def test_what_was_seen_of_stable_before_gives_the_first_slope() -> None:
    rng = np.random.default_rng(14)
    value, level = drawn(rng, (2000,), 300, 125)
    told = [window(0, value, level)]
    known = earlier(told, told)
    assert known is not None
    assert known.covariate is not None
    assert known.covariate.cross / known.covariate.m2 == pytest.approx(125, rel=0.1)
    assert known.covariate.free == 1999
    told.append(window(1, value, None))
    lacking = earlier(told, told)
    assert lacking is not None
    assert lacking.covariate is None


def _bet(one: Race, direction: Direction) -> Bet:
    return place(direction, one.margin, one.candidate, one.stable, one.bounds, earlier=one.earlier)


def _evidence(one: Race, direction: Direction) -> Floats:
    return one.worse() if direction is Direction.WORSE else one.better()
