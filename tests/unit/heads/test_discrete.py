"""Choices are drawn as often as their propensities say."""

import numpy as np
import pytest
from tests.unit.heads.spaces import furthest_by_chance, some_outputs

from belay_api.spaces import DiscreteSpace
from belay_heads import head_of

DRAWS = 40_000
FOUR = DiscreteSpace(n=4, start=-1)


@pytest.mark.parametrize("logits", [[0, 0, 0, 0], [1.5, -2, 0.25, 1], [1000, 999, 998, -1000]])
def test_shares_of_draws_are_the_propensities(logits: list[float]) -> None:
    head = head_of("logits", FOUR)
    row = np.array([logits], np.float32)
    drawn = head.sample(np.repeat(row, DRAWS, axis=0), np.random.default_rng(0))
    propensities = np.exp(head.log_propensity(np.repeat(row, 4, axis=0), [-1, 0, 1, 2]))

    assert propensities.sum() == pytest.approx(1)
    shares = np.bincount(drawn + 1, minlength=4) / DRAWS
    assert np.abs(shares.cumsum() - propensities.cumsum()).max() < furthest_by_chance(DRAWS)


def test_propensities_by_hand() -> None:
    outputs = np.log(np.array([[0.2, 0.5, 0.2, 0.1], [0.7, 0.1, 0.1, 0.1]])).astype(np.float32) + np.float32(7)
    found = head_of("logits", FOUR).log_propensity(outputs, np.array([0, -1]))
    np.testing.assert_allclose(np.exp(found), [0.5, 0.7], rtol=1e-5)


@pytest.mark.parametrize("output", ["logits", "q-values"])
@pytest.mark.parametrize("action", [-2, 3, 0.5])
def test_an_action_that_is_none_is_never_drawn(output: str, action: float) -> None:
    head = head_of(output, FOUR)
    assert head.log_propensity(some_outputs(head, 2), [action, action]).tolist() == [-np.inf] * 2


def test_the_best_action_is_the_likeliest() -> None:
    head = head_of("logits", FOUR)
    outputs = some_outputs(head, 100)
    each = np.stack([head.log_propensity(outputs, np.full(100, action)) for action in range(-1, 3)], axis=1)
    np.testing.assert_array_equal(head.greedy(outputs), each.argmax(axis=1) - 1)


def test_of_equal_values_the_first_is_taken() -> None:
    assert head_of("q-values", FOUR).greedy(np.array([[1, 3, 3, 2]], np.float32)).tolist() == [0]


def test_a_choice_is_the_output_itself_within_the_space() -> None:
    outputs = np.array([[0], [1.0001], [1.9999], [-7], [99], [np.inf], [-0.2]])
    head = head_of("choice", FOUR)
    assert head.greedy(outputs).tolist() == [0, 1, 2, -1, 2, 2, 0]
    assert head.greedy(outputs[:3].round().astype(np.int64)).tolist() == [0, 1, 2], "an argmax answers whole numbers"
