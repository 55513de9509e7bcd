"""Each item is refused for itself, and the message says which field, what was seen and what is wanted."""

import numpy as np
import pytest
from belay_api.artifact import BoxSpace, DiscreteSpace
from belay_handler.requests import BadInput, Reader, read_body

from tests.unit.handler.artifacts import CARTPOLE

READER = Reader(CARTPOLE, stochastic=True)
GOOD = [0.1, -0.2, 3, 4e-9]


@pytest.mark.parametrize(
    ("item", "field", "says"),
    [
        ({"observation": [0.1, 0.2, 0.3, float("nan")]}, "observation", "NaN or infinity"),
        ({"observation": [0.1, 0.2, 0.3, float("-inf")]}, "observation", "NaN or infinity"),
        ({"observation": [0.1, 0.2, 0.3]}, "observation", "shape [3]"),
        ({"observation": [GOOD]}, "observation", "shape [1, 4]"),
        ({"observation": [0.1, [0.2], 0.3, 0.4]}, "observation", "ragged"),
        ({"observation": ["0.1", "0.2", "0.3", "0.4"]}, "observation", "no number"),
        ({"observation": [True, False, True, True]}, "observation", "no number"),
        ({"observation": [0.1, None, 0.3, 0.4]}, "observation", "no number"),
        ({"observation": {"x": 1}}, "observation", "no number"),
        ({"observation": None}, "observation", "no number"),
        ({"observation": []}, "observation", "shape [0]"),
        ({"observation": [1e300, 0, 0, 0]}, "observation", "too large for float32"),
        ({"observation": [10**30, 0, 0, 0]}, "observation", "no number"),
        ({"observatoin": GOOD}, "observatoin", "no field of a prediction"),
        ({}, "observation", "missing"),
        ({"observation": GOOD, "episod": "e"}, "episod", "known are observation, episode, step, deterministic"),
        ({"observation": GOOD, "step": -1}, "step", "greater than or equal to 0"),
        ({"observation": GOOD, "step": "0"}, "step", "integer"),
        ({"observation": GOOD, "episode": ""}, "episode", "at least 1"),
        ({"observation": GOOD, "episode": 7}, "episode", "string"),
        ({"observation": GOOD, "deterministic": "no"}, "deterministic", "boolean"),
        (GOOD, None, "the body"),
        ("text", None, "the body"),
        (None, None, "the body"),
    ],
)
def test_refused(item: object, field: str | None, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        READER.read(item)

    assert caught.value.field == field
    assert says in caught.value.message
    if field == "observation" and "missing" not in says:
        assert "wanted numbers of shape [4] (Box(4,) float32)" in caught.value.message


def test_accepted_as_the_spaces_dtype() -> None:
    prediction, observation = READER.read({"observation": GOOD, "episode": "e", "step": 3, "deterministic": False})

    assert (prediction.episode, prediction.step, prediction.deterministic) == ("e", 3, False)
    assert observation.dtype == np.float32
    np.testing.assert_allclose(observation, GOOD, rtol=1e-6)


def test_the_place_in_a_list_is_named() -> None:
    with pytest.raises(BadInput, match=r"items\[3\]\.observation has shape") as caught:
        READER.read({"observation": [1.0]}, path="items[3].")
    assert caught.value.field == "items[3].observation"


def test_sampling_needs_probabilities() -> None:
    with pytest.raises(BadInput, match="no probabilities to sample from"):
        Reader(CARTPOLE, stochastic=False).read({"observation": GOOD, "deterministic": False})


def test_bytes_do_not_wrap() -> None:
    reader = Reader(BoxSpace(shape=[2], dtype="uint8", low=[0, 0], high=[255, 255]), stochastic=True)

    assert reader.read({"observation": [0, 255]})[1].dtype == np.uint8
    for bad in ([0, 256], [-1, 0], [0.5, 0]):
        with pytest.raises(BadInput, match="no uint8"):
            reader.read({"observation": bad})


def test_a_discrete_observation_is_one_of_its_numbers() -> None:
    reader = Reader(DiscreteSpace(n=3, start=1), stochastic=True)

    assert int(reader.read({"observation": 3})[1]) == 3
    for bad in (0, 4, 1.5, [1]):
        with pytest.raises(BadInput, match="from 1 to 3"):
            reader.read({"observation": bad})


def test_nan_literals_pass_the_parser_so_that_one_item_is_refused_and_not_its_list() -> None:
    first, second = read_body(b'[{"observation": [NaN]}, {"observation": [1]}]')

    assert np.isnan(first["observation"][0])
    assert second == {"observation": [1]}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"observation=1"])
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(BadInput, match="the body is no JSON"):
        read_body(body)
