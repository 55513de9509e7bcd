"""Densities and probabilities of continuous actions: they add up to 1, and draws follow them."""

import math

import numpy as np
import pytest
from tests.chance import most_by_chance
from tests.unit.heads.spaces import furthest_by_chance, one_dimension

from belay_api.spaces import BoxSpace
from belay_heads import Head, head_of

DRAWS = 40_000
# Bounds, mean and log of the standard deviation: with both bounds in reach, one, none, and a mean beyond one.
CLIPPED = [
    (-1.0, 1.0, 0.3, 0.0),
    (-1.0, None, 0.3, 0.0),
    (None, None, -2.0, 1.5),
    (0.0, 0.5, 2.0, 0.2),
    (-3.0, 100.0, 1.0, -2.0),
]
SQUASHED = [(-1.0, 1.0, 0.3, 0.0), (0.0, 5.0, -1.0, 0.7), (-20.0, -10.0, 2.0, -1.0), (-2.0, 2.0, 0.0, 1.2)]


def normal_density(x: np.ndarray, mean: float, std: float) -> np.ndarray:
    return np.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))


def row(mean: float, log_std: float, rows: int = 1) -> np.ndarray:
    return np.repeat(np.array([[mean, log_std]]), rows, axis=0)


def grid(low: float | None, high: float | None, mean: float, log_std: float) -> np.ndarray:
    """Return numbers strictly between the bounds, closer together towards each."""
    reach = 12 * math.exp(log_std)
    least, most = (mean - reach if low is None else low), (mean + reach if high is None else high)
    numbers = least + (most - least) / (1 + np.exp(-np.linspace(-30, 30, 60_001)))
    return numbers[(numbers > least) & (numbers < most)]


def cumulative(head: Head, numbers: np.ndarray, mean: float, log_std: float, low: float | None) -> np.ndarray:
    """Return at each number the probability of that much and less, by the head's propensities alone."""
    density = np.exp(head.log_propensity(row(mean, log_std, len(numbers)), numbers[:, np.newaxis]))
    parts = (density[1:] + density[:-1]) / 2 * np.diff(numbers)
    at_low = 0.0 if low is None else np.exp(head.log_propensity(row(mean, log_std), [[low]])).item()
    return at_low + np.concatenate([[0.0], parts.cumsum()])


@pytest.mark.parametrize(
    ("output", "case"), [*(("gaussian", case) for case in CLIPPED), *(("squashed-gaussian", case) for case in SQUASHED)]
)
def test_propensities_add_up_to_one_and_draws_follow_them(output: str, case: tuple) -> None:
    low, high, mean, log_std = case
    head = head_of(output, one_dimension(low, high))
    numbers = grid(low, high, mean, log_std)
    claimed = cumulative(head, numbers, mean, log_std, low)
    at_high = 0.0 if high is None else np.exp(head.log_propensity(row(mean, log_std), [[high]])).item()
    assert claimed[-1] + at_high == pytest.approx(1, abs=1e-4)

    drawn = head.sample(row(mean, log_std, DRAWS), np.random.default_rng(0))[:, 0]
    shares = np.searchsorted(np.sort(drawn), numbers, side="right") / DRAWS
    assert np.abs(shares - claimed).max() < furthest_by_chance(DRAWS)


@pytest.mark.parametrize("beyond", [-0.5, 0.0, 1.0, 3.0])
def test_a_bound_is_served_as_often_as_its_propensity_says(beyond: float) -> None:
    head = head_of("gaussian", one_dimension(-10.0, 1.0, dtype="float32"))
    outputs = row(1.0 + beyond * math.exp(-1), -1.0, DRAWS).astype(np.float32)
    drawn = head.sample(outputs, np.random.default_rng(0))[:, 0]
    probability = np.exp(head.log_propensity(outputs[:1], [[1.0]])).item()

    assert probability == pytest.approx(0.5 * (1 + math.erf(beyond / math.sqrt(2))), rel=1e-5)
    assert abs((drawn == 1.0).mean() - probability) < furthest_by_chance(DRAWS)


@pytest.mark.parametrize(
    ("low", "high", "mean"),
    [(-2.0, 2.0, 9.2), (-2.0, 2.0, -9.2), (-1.0, 0.0, 52.0), (0.0, 7.0, -52.0), (10.0, 20.0, 8.0)],
)
def test_full_power_is_served_as_often_as_its_propensity_says(low: float, high: float, mean: float) -> None:
    """Numbers so near a bound that float32 has none in between: a policy that is sure of itself drives there."""
    head = head_of("squashed-gaussian", one_dimension(low, high, dtype="float32"))
    outputs = row(mean, 0.0, DRAWS).astype(np.float32)
    bound = high if mean > 0 else low
    drawn = head.sample(outputs, np.random.default_rng(0))[:, 0]
    probability = np.exp(head.log_propensity(outputs[:1], [[bound]])).item()

    hits = int((drawn == bound).sum())
    assert hits <= most_by_chance(DRAWS, probability)
    assert DRAWS - hits <= most_by_chance(DRAWS, 1 - probability)
    assert np.isfinite(head.log_propensity(outputs, drawn[:, np.newaxis])).all()


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 5.0), (-20.0, -10.0)])
def test_the_squashed_density_is_the_normal_one_by_brute_force(low: float, high: float) -> None:
    head = head_of("squashed-gaussian", one_dimension(low, high))
    mean, log_std, step = 0.4, -0.3, 1e-6
    actions = low + (high - low) * np.linspace(0.01, 0.99, 99)

    def z(action: np.ndarray) -> np.ndarray:
        return np.arctanh(2 * (action - low) / (high - low) - 1)

    slope = (z(actions + step) - z(actions - step)) / (2 * step)
    wanted = normal_density(z(actions), mean, math.exp(log_std)) * slope
    found = np.exp(head.log_propensity(row(mean, log_std, 99), actions[:, np.newaxis]))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_greedy_squashed_actions_are_tanh_between_the_bounds() -> None:
    space = BoxSpace(shape=[3], dtype="float32", low=[-2.0, 0.0, 10.0], high=[2.0, 1.0, 30.0])
    means = np.linspace(-6, 6, 33).reshape(11, 3).astype(np.float32)
    outputs = np.concatenate([means, np.zeros_like(means)], axis=1)
    wanted = np.array(space.low) + (np.tanh(means) + 1) / 2 * (np.array(space.high) - np.array(space.low))

    np.testing.assert_allclose(head_of("squashed-gaussian", space).greedy(outputs), wanted, rtol=1e-5, atol=1e-6)


def test_half_of_all_squashed_draws_lie_above_the_greedy_action() -> None:
    head = head_of("squashed-gaussian", one_dimension(-2.0, 2.0))
    drawn = head.sample(row(0.7, 0.5, DRAWS), np.random.default_rng(1))
    above = int((drawn > head.greedy(row(0.7, 0.5))).sum())
    assert DRAWS - most_by_chance(DRAWS, 0.5) <= above <= most_by_chance(DRAWS, 0.5)


def test_the_greedy_action_is_where_the_clipped_density_is_highest() -> None:
    head = head_of("gaussian", one_dimension(-1.0, 1.0))
    numbers = np.linspace(-0.999, 0.999, 1999)
    found = head.log_propensity(row(0.25, -1.0, 1999), numbers[:, np.newaxis])
    assert numbers[found.argmax()] == pytest.approx(head.greedy(row(0.25, -1.0)).item(), abs=1e-3)


def test_propensities_are_those_of_stable_baselines3_where_no_bound_is_hit() -> None:
    """By hand from its `DiagGaussianDistribution` and `SquashedDiagGaussianDistribution`; two dimensions, added up."""
    outputs = np.array([[0.5, -0.2, 0.0, -1.0]])
    wide = BoxSpace(shape=[2], dtype="float64", low=[None] * 2, high=[None] * 2)
    # -(0.2²)/2 - log √2π, and -(0.3 e)²/2 + 1 - log √2π
    wanted = -0.02 - 0.9189385332 + (-0.3325075245 + 1 - 0.9189385332)
    assert head_of("gaussian", wide).log_propensity(outputs, [[0.7, 0.1]]) == pytest.approx(wanted, abs=1e-9)

    unit = BoxSpace(shape=[2], dtype="float64", low=[-1.0] * 2, high=[1.0] * 2)
    actions = np.tanh([[0.7, 0.1]])
    epsilon = 1e-6  # its own, which the head does without
    theirs = wanted - np.log(1 - actions**2 + epsilon).sum()
    head = head_of("squashed-gaussian", unit)
    assert head.log_propensity(outputs, actions) == pytest.approx(theirs, abs=1e-5)

    pendulum = BoxSpace(shape=[2], dtype="float64", low=[-2.0] * 2, high=[2.0] * 2)  # twice as wide, half as dense
    doubled = head_of("squashed-gaussian", pendulum).log_propensity(outputs, 2 * actions)
    assert doubled == pytest.approx(theirs - 2 * math.log(2), abs=1e-5)


@pytest.mark.parametrize("output", ["gaussian", "squashed-gaussian"])
@pytest.mark.parametrize("action", [-1.5, 1.5])
def test_what_lies_beyond_the_bounds_is_never_drawn(output: str, action: float) -> None:
    head = head_of(output, one_dimension(-1.0, 1.0))
    assert head.log_propensity(row(0.0, 0.0), [[action]]).tolist() == [-np.inf]


def test_a_dimension_with_one_value_is_certain() -> None:
    space = BoxSpace(shape=[2], dtype="float32", low=[3.0, None], high=[3.0, None])
    outputs = np.array([[0.0, 1.0, 2.0, 0.0]])
    drawn = head_of("gaussian", space).sample(outputs, np.random.default_rng(0))
    assert drawn[0, 0] == 3.0
    alone = head_of("gaussian", one_dimension(None, None, dtype="float32"))
    found = head_of("gaussian", space).log_propensity(outputs, drawn)
    assert found == pytest.approx(alone.log_propensity(np.array([[1.0, 0.0]]), drawn[:, 1:]))


def test_a_mean_is_the_same_action_when_its_last_digits_differ() -> None:
    head = head_of("mean", one_dimension(-2.0, 2.0, dtype="float32"))
    outputs = np.array([[0.7654321]], np.float32)
    assert head.log_propensity(np.nextafter(outputs, np.float32(1)), head.greedy(outputs)).tolist() == [0.0]
    assert head.log_propensity(outputs, [[0.7664321]]).tolist() == [-np.inf]


def test_a_box_of_whole_numbers_is_acted_on_in_fractions_as_it_was_trained() -> None:
    head = head_of("mean", one_dimension(0, 3, dtype="int64"))
    assert head.greedy(np.array([[1.75], [9.0]], np.float32)).tolist() == [[1.75], [3.0]]


@pytest.mark.parametrize("output", ["gaussian", "squashed-gaussian"])
def test_a_bound_is_known_however_many_digits_were_written_down(output: str) -> None:
    """0.1 is no number of float32: the space has its neighbour, a log may have either."""
    head = head_of(output, one_dimension(-0.1, 0.1, dtype="float32"))
    exact = head.log_propensity(row(2.0, 0.0), np.array([[0.1]], np.float32))
    assert np.isfinite(exact).all()
    assert head.log_propensity(row(2.0, 0.0), [[0.1]]) == exact
