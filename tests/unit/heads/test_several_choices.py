"""Several choices at once, switches and masks: drawn as often as their propensities say, and worked out by hand."""

import itertools

import numpy as np
import pytest
from tests.unit.heads.spaces import CHOICES, SWITCHES, THREE, chi_square_by_chance, some_outputs

from belay_api.spaces import ArraySpace, MultiBinarySpace, MultiDiscreteSpace
from belay_heads import head_of
from belay_heads.masked import allowed, first_without_choice

DRAWS = 40_000
ROW = [0.5, -1.0, 0.0, 1.0, 0.2, -0.4, 0.3, 0.0, 1.2]
CASES: dict[str, tuple[str, ArraySpace, list[float], list[int] | None]] = {  # output, actions, outputs, mask
    "choices": ("multi-categorical", CHOICES, ROW, None),
    "choices, large": ("multi-categorical", CHOICES, [*(1000.0 + np.array(ROW))], None),
    "switches": ("bernoulli", SWITCHES, [0.0, -1.5, 0.7, 2.0], None),
    "one choice under a mask": ("masked-logits", THREE, [2.0, 0.0, 1.0], [0, 1, 1]),
    "choices under a mask": ("masked-multi-categorical", CHOICES, ROW, [1, 0, 1, 0, 1, 1, 1, 0, 1]),
    "switches under a mask": (
        "masked-multi-categorical",
        SWITCHES,
        [0.1, 0.5, 1.0, 0.0, 0.3, 0.2, 0.0, 0.9],
        [1, 0] + 6 * [1],
    ),
}


def everything(action: ArraySpace) -> np.ndarray:
    """Return every action of a space, (action, *shape)."""
    if isinstance(action, MultiDiscreteSpace):
        return np.array(
            list(itertools.product(*(range(s, s + n) for n, s in zip(action.nvec, action.start, strict=True))))
        )
    if isinstance(action, MultiBinarySpace):
        switches = int(np.prod(action.shape))
        return np.array(list(itertools.product((0, 1), repeat=switches))).reshape(-1, *action.shape)
    return np.arange(action.start, action.start + action.n)


@pytest.mark.parametrize("case", CASES)
def test_actions_are_drawn_with_their_propensities(case: str) -> None:
    """A chi-square test over all actions together, so that choices which are drawn alike would be seen as well."""
    output, action, row, mask = CASES[case]
    head, every = head_of(output, action), everything(action)
    outputs = np.array([row], np.float32)
    if mask is not None:
        outputs = allowed(outputs, np.array([mask], bool))
    propensities = np.exp(head.log_propensity(np.repeat(outputs, len(every), axis=0), every))
    assert propensities.sum() == pytest.approx(1)

    drawn = head.sample(np.repeat(outputs, DRAWS, axis=0), np.random.default_rng(0)).reshape(DRAWS, -1)
    counts = (drawn[:, None] == every.reshape(len(every), -1)).all(axis=2).sum(axis=0)
    assert counts.sum() == DRAWS
    possible = propensities > 0
    assert not counts[~possible].any(), "what a mask forbids was drawn"
    assert (DRAWS * propensities[possible] >= 5).all(), "too rare to be counted"
    assert _distance(counts[possible], propensities[possible]) < chi_square_by_chance(int(possible.sum()) - 1)


def test_the_chi_square_test_would_see_another_distribution() -> None:
    counts = np.random.default_rng(0).multinomial(DRAWS, [0.25, 0.25, 0.265, 0.235])
    assert _distance(counts, np.full(4, 0.25)) > chi_square_by_chance(3)
    assert chi_square_by_chance(23) == pytest.approx(57.0, rel=0.01)  # of a table: 99.99 %, 23 degrees of freedom


def test_propensities_by_hand() -> None:
    outputs = np.log(np.array([[0.2, 0.5, 0.3, 0.9, 0.1, 0.1, 0.2, 0.3, 0.4]])).astype(np.float32) + np.float32(7)
    found = head_of("multi-categorical", CHOICES).log_propensity(outputs, [[1, 5, 2]])
    np.testing.assert_allclose(np.exp(found), [0.5 * 0.9 * 0.4], rtol=1e-5)

    odds = np.log(np.array([[1.0, 3.0, 0.25, 1.0]])).astype(np.float32)
    found = head_of("bernoulli", SWITCHES).log_propensity(odds, [[[1, 1], [0, 0]]])
    np.testing.assert_allclose(np.exp(found), [0.5 * 0.75 * 0.8 * 0.5], rtol=1e-6)

    outputs = allowed(np.log(np.array([[0.2, 0.5, 0.3]])).astype(np.float32), np.array([[True, False, True]]))
    found = head_of("masked-logits", THREE).log_propensity(np.repeat(outputs, 3, axis=0), [5, 6, 7])
    np.testing.assert_allclose(np.exp(found), [0.4, 0.0, 0.6], rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_best_action_is_the_likeliest(case: str) -> None:
    output, action, _, mask = CASES[case]
    head, every = head_of(output, action), everything(action)
    outputs = some_outputs(head, 50)
    if mask is not None:
        outputs = allowed(outputs, np.array([mask] * 50, bool))
    each = np.stack([head.log_propensity(outputs, np.repeat(one[None], 50, axis=0)) for one in every])
    np.testing.assert_array_equal(head.greedy(outputs), every[each.argmax(axis=0)])


@pytest.mark.parametrize(
    ("output", "action", "impossible"),
    [
        ("multi-categorical", CHOICES, [0, 4, 0]),
        ("multi-categorical", CHOICES, [0.5, 5, 0]),
        ("bernoulli", SWITCHES, [[0, 2], [0, 0]]),
        ("bernoulli", SWITCHES, [[0, 0.5], [0, 0]]),
    ],
)
def test_an_action_that_is_none_is_never_drawn(output: str, action: ArraySpace, impossible: list[float]) -> None:
    head = head_of(output, action)
    assert head.log_propensity(some_outputs(head, 1), [impossible]).tolist() == [-np.inf]


def test_a_switch_that_is_as_likely_on_as_off_is_off() -> None:
    assert head_of("bernoulli", SWITCHES).greedy(np.zeros((1, 4))).tolist() == [[[0, 0], [0, 0]]]


def test_a_mask_that_allows_nothing_is_found() -> None:
    sizes = head_of("masked-multi-categorical", CHOICES).masks
    assert sizes == (3, 2, 4)
    assert head_of("masked-logits", THREE).masks == (3,)
    assert first_without_choice(np.array([1, 0, 0, 0, 0, 0, 0, 0, 1], bool), sizes) == 1
    assert first_without_choice(np.array([1, 0, 0, 0, 1, 0, 0, 0, 1], bool), sizes) is None


def _distance(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return Pearson's chi-square of counts from what their probabilities let expect."""
    expected = counts.sum() * probabilities
    return float(((counts - expected) ** 2 / expected).sum())
