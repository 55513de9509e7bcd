"""What callers rely on, whatever the output: names, shapes, units, and that sampling and propensities agree."""

from typing import get_args

import numpy as np
import pytest
from tests.unit.heads.spaces import (
    ALL,
    CHOICES,
    FITTING,
    STOCHASTIC,
    SWITCHES,
    THREE,
    TWO_BY_TWO,
    one_dimension,
    some_outputs,
)

from belay_api.artifact import ArtifactInvalid, Output
from belay_api.spaces import BoxSpace, MultiDiscreteSpace, Space
from belay_heads import HEADS, head_of


def test_every_output_a_manifest_may_name_has_its_head() -> None:
    assert list(HEADS) == list(get_args(Output))
    assert {name: head_of(name, FITTING[name]).output for name in ALL} == {name: name for name in ALL}
    assert STOCHASTIC == [
        "bernoulli",
        "gaussian",
        "logits",
        "masked-logits",
        "masked-multi-categorical",
        "multi-categorical",
        "squashed-gaussian",
    ]


@pytest.mark.parametrize(
    ("output", "action", "says"),
    [
        ("logits", TWO_BY_TWO, "output is logits for a box action space: a discrete one is needed"),
        ("q-values", TWO_BY_TWO, "output is q-values for a box"),
        ("choice", TWO_BY_TWO, "output is choice for a box"),
        ("mean", THREE, "output is mean for a discrete action space: a box is needed"),
        ("gaussian", THREE, "output is gaussian for a discrete"),
        ("squashed-gaussian", THREE, "output is squashed-gaussian for a discrete"),
        ("squashed-gaussian", one_dimension(-1.0, None), r"Box\(1,\) float64: a lower bound below an upper one"),
        ("squashed-gaussian", one_dimension(None, 1.0), "is needed in every dimension"),
        ("squashed-gaussian", one_dimension(1.0, 1.0), "is needed in every dimension"),
        (
            "multi-categorical",
            THREE,
            "output is multi-categorical for a discrete action space: a multi-discrete or multi",
        ),
        ("masked-multi-categorical", TWO_BY_TWO, "for a box action space: a multi-discrete or multi-binary one"),
        ("multi-categorical", MultiDiscreteSpace(nvec=[2, 0], start=[0, 0]), "a choice of nothing, or a start too few"),
        ("multi-categorical", MultiDiscreteSpace(nvec=[2, 2], start=[0]), "a choice of nothing, or a start too few"),
        ("bernoulli", CHOICES, "output is bernoulli for a multi-discrete action space: a multi-binary one is needed"),
        ("masked-logits", CHOICES, "output is masked-logits for a multi-discrete action space: a discrete one"),
        ("beta", TWO_BY_TWO, "output is 'beta': known are logits, q-values, choice, mean, gaussian, squashed-gaussian"),
        ("mean", BoxSpace(shape=[2], dtype="float32", low=[0.0], high=[1.0, 1.0]), "1 lower and 2 upper bounds"),
        ("mean", one_dimension(1.0, -1.0), "lower bounds above its upper"),
        ("mean", one_dimension(-1.0, 1.0, dtype="float23"), "dtype 'float23'"),
    ],
)
def test_an_output_that_cannot_name_the_actions_is_refused(output: str, action: Space, says: str) -> None:
    with pytest.raises(ArtifactInvalid, match=says):
        head_of(output, action)


@pytest.mark.parametrize("output", ALL)
def test_actions_are_the_spaces(output: str) -> None:
    head = head_of(output, FITTING[output])
    outputs = 3 * some_outputs(head, 200) + (6 if output == "choice" else 0)
    for actions in (head.greedy(outputs), head.sample(outputs, np.random.default_rng(1))):
        if FITTING[output] == THREE:
            assert actions.shape == (200,)
            assert actions.dtype.kind == "i"
            assert set(actions.tolist()) == {5, 6, 7}
        elif FITTING[output] == CHOICES:
            assert actions.shape == (200, 3)
            assert actions.dtype.kind == "i"
            assert [set(column) for column in actions.T.tolist()] == [{0, 1, 2}, {5, 6}, {-1, 0, 1, 2}]
        elif FITTING[output] == SWITCHES:
            assert actions.shape == (200, 2, 2)
            assert actions.dtype == np.int8
            assert set(actions.ravel().tolist()) == {0, 1}
        else:
            assert actions.shape == (200, 2, 2)
            assert actions.dtype == np.float32
            low, high = (np.reshape(side, (2, 2)) for side in (TWO_BY_TWO.low, TWO_BY_TWO.high))
            assert (low <= actions).all()
            assert (actions <= high).all()


@pytest.mark.parametrize("output", ALL)
def test_what_is_drawn_has_a_propensity_as_arrays_and_as_json(output: str) -> None:
    head = head_of(output, FITTING[output])
    outputs = some_outputs(head, 500)
    drawn = head.sample(outputs, np.random.default_rng(1))
    found = head.log_propensity(outputs, drawn)

    assert found.shape == (500,)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(head.log_propensity(outputs, drawn.tolist()), found)


@pytest.mark.parametrize("output", ALL)
def test_rows_do_not_know_each_other(output: str) -> None:
    head = head_of(output, FITTING[output])
    outputs = some_outputs(head, 7)
    actions = head.greedy(outputs)
    broken = outputs.copy()
    broken[3] = np.nan

    others = np.arange(7) != 3
    np.testing.assert_array_equal(head.greedy(broken)[others], actions[others])
    np.testing.assert_array_equal(
        head.log_propensity(broken, actions)[others], head.log_propensity(outputs, actions)[others]
    )


@pytest.mark.parametrize("output", ALL)
def test_the_generator_is_all_that_draws_depend_on(output: str) -> None:
    head = head_of(output, FITTING[output])
    outputs = some_outputs(head, 50)
    first, again = (head.sample(outputs, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (outputs == some_outputs(head, 50)).all(), "the caller's outputs are left as they were"


@pytest.mark.parametrize("output", STOCHASTIC)
def test_greedy_is_what_draws_come_to_as_the_spread_vanishes(output: str) -> None:
    head = head_of(output, FITTING[output])
    outputs = some_outputs(head, 300)
    if FITTING[output] != TWO_BY_TWO:
        outputs *= 1e5
    else:
        outputs[:, head.width // 2 :] = -16.0

    drawn = head.sample(outputs, np.random.default_rng(2))
    np.testing.assert_allclose(drawn, head.greedy(outputs), atol=1e-5)


@pytest.mark.parametrize("output", sorted(set(ALL) - set(STOCHASTIC)))
def test_a_policy_of_one_action_draws_it_always_and_no_other_ever(output: str) -> None:
    head = head_of(output, FITTING[output])
    outputs = some_outputs(head, 40)
    best = head.greedy(outputs)
    other = 5 + (best - 5 + 1) % 3 if FITTING[output] == THREE else best + np.float32(0.1)

    np.testing.assert_array_equal(head.sample(outputs, np.random.default_rng(0)), best)
    assert head.log_propensity(outputs, best).tolist() == [0.0] * 40
    assert head.log_propensity(outputs, other).tolist() == [-np.inf] * 40
