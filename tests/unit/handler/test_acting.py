"""Actions are what the manifest says the outputs mean."""

import numpy as np
import pytest
from tests.unit.handler.artifacts import manifest, outputs

from belay_api.artifact import ArtifactInvalid
from belay_api.spaces import BoxSpace, DiscreteSpace
from belay_handler.acting import Actor, NotFinite


def actor(seed: int = 0, network=outputs, **spaces) -> Actor:
    return Actor(manifest(**spaces), network, np.random.default_rng(seed))


def test_the_best_action_is_the_argmax_counted_from_the_spaces_start() -> None:
    observations = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)

    actions = actor(action=DiscreteSpace(n=2, start=5)).act(observations, [True] * 50)

    assert actions == (5 + outputs(observations).argmax(axis=1)).tolist()
    assert {type(action) for action in actions} == {int}


def test_sampling_follows_the_softmax_of_the_logits() -> None:
    logits = np.array([np.log(0.2), np.log(0.5), np.log(0.3)], dtype=np.float32)
    many = actor(network=lambda batch: np.tile(logits, (len(batch), 1)), action=DiscreteSpace(n=3))

    actions = many.act(np.zeros((20_000, 4), np.float32), [False] * 20_000)

    shares = np.bincount(actions, minlength=3) / 20_000
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=0.02)  # six standard errors


def test_one_batch_may_mix_best_and_sampled_actions() -> None:
    logits = np.array([1.0, 0.9], dtype=np.float32)
    both = actor(network=lambda batch: np.tile(logits, (len(batch), 1)))
    deterministic = [True, False] * 500

    actions = both.act(np.zeros((1000, 4), np.float32), deterministic)

    assert set(actions[0::2]) == {0}
    assert set(actions[1::2]) == {0, 1}


def test_a_mean_action_is_clipped_to_the_space() -> None:
    space = BoxSpace(shape=[2], dtype="float32", low=[-1.0, None], high=[0.5, None])
    continuous = actor(network=lambda batch: batch[:, :2] * 10, action=space, output="mean")

    assert continuous.act(np.array([[-3, -3, 0, 0], [3, 3, 0, 0]], np.float32), [True, True]) == [[-1, -30], [0.5, 30]]


def test_a_gaussian_policy_is_sampled_only_where_it_is_asked_for() -> None:
    space = BoxSpace(shape=[1], dtype="float32", low=[-1.0], high=[1.0])
    row = np.array([0.5, -1.0], np.float32)
    both = actor(network=lambda batch: np.tile(row, (len(batch), 1)), action=space, output="gaussian")

    actions = both.act(np.zeros((1000, 4), np.float32), [True, False] * 500)

    assert actions[0::2] == [[0.5]] * 500
    sampled = np.array(actions[1::2])
    assert sampled.mean() == pytest.approx(0.5, abs=0.1)  # six standard errors
    assert 0.05 < (sampled == 1.0).mean() < 0.15, "0.087 is clipped to the bound"
    assert both.stochastic


def test_a_policy_of_one_action_ignores_that_it_is_to_sample() -> None:
    greedy = actor(output="q-values")
    observations = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)

    assert not greedy.stochastic
    assert greedy.act(observations, [False] * 50) == greedy.act(observations, [True] * 50)


def test_actions_have_the_spaces_shape_and_the_network_may_answer_them_flat_or_not() -> None:
    space = BoxSpace(shape=[2, 2], dtype="float32", low=[0.0] * 4, high=[1.0] * 4)
    flat = actor(network=lambda batch: batch, action=space, output="mean")
    shaped = actor(network=lambda batch: batch.reshape(-1, 2, 2), action=space, output="mean")

    for one in (flat, shaped):
        assert one.act(np.array([[0, 0.5, 1, 9]], np.float32), [True]) == [[[0, 0.5], [1, 1]]]


def test_a_draw_beyond_all_numbers_is_an_error_and_not_null() -> None:
    space = BoxSpace(shape=[1], dtype="float32", low=[None], high=[None])
    rows = np.array([[0.0, 0.0], [0.0, 1000.0]], np.float32)
    wild = actor(network=lambda batch: rows, action=space, output="gaussian")

    good, bad = wild.act(np.zeros((2, 4), np.float32), [False, False])
    assert np.isfinite(good[0])
    assert isinstance(bad, NotFinite)
    assert wild.act(np.zeros((2, 4), np.float32), [True, True]) == [[0.0], [0.0]]


def test_an_output_that_is_not_finite_spoils_only_its_own_item() -> None:
    def network(batch: np.ndarray) -> np.ndarray:
        answers = outputs(batch)
        answers[1, 0] = np.nan
        return answers

    good, bad, fine = actor(network=network).act(np.zeros((3, 4), np.float32), [True] * 3)

    assert (good, fine) == (0, 0)
    assert isinstance(bad, NotFinite)


def test_infinity_is_not_hidden_by_a_bound() -> None:
    space = BoxSpace(shape=[2], dtype="float32", low=[-1.0] * 2, high=[1.0] * 2)
    network = np.array([[0.0, np.inf], [0.0, 0.5]], np.float32)
    bad, good = actor(network=lambda batch: network, action=space, output="mean").act(np.zeros((2, 4)), [True] * 2)

    assert isinstance(bad, NotFinite)
    assert good == [0.0, 0.5]


@pytest.mark.parametrize(
    ("spaces", "network", "says"),
    [
        ({"output": "mean"}, outputs, "output is mean for a discrete"),
        ({"action": BoxSpace(shape=[2], dtype="float32", low=[None] * 2, high=[None] * 2)}, outputs, "for a box"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_not_served(spaces, network, says: str) -> None:
    with pytest.raises(ArtifactInvalid, match=says):
        actor(network=network, **spaces)


def test_a_network_that_is_not_the_manifests_is_not_served() -> None:
    with pytest.raises(ArtifactInvalid, match=r"answers shape \(1, 3\) where the manifest promises \(1, 2\)"):
        actor(network=lambda batch: np.zeros((1, 3))).act(np.zeros((1, 4), np.float32), [True])
