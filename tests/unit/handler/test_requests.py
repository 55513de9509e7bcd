"""Each item is refused for itself, and the message says which field, what was seen and what is wanted."""

import numpy as np
import pytest
from tests.unit.handler.artifacts import CARTPOLE

from belay_api.spaces import BoxSpace, DiscreteSpace
from belay_api.wire import Prediction
from belay_handler.requests import BadInput, Reader, read_body

READER = Reader(CARTPOLE, stochastic=True)
GOOD = [0.1, -0.2, 3, 4e-9]


def read(reader: Reader, item: object, path: str = "") -> tuple[Prediction, np.ndarray]:
    """Read one item to the end. Raises: BadInput."""
    prediction, observation = reader.read(item, path=path)
    batch, refused = reader.gather([observation], [path])
    if refused:
        raise refused[0]
    return prediction, batch[0]


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
        read(READER, item)

    assert caught.value.field == field
    assert says in caught.value.message
    if field == "observation" and "missing" not in says:
        assert "wanted numbers of shape [4] (Box(4,) float32)" in caught.value.message


def test_accepted_as_the_spaces_dtype() -> None:
    prediction, observation = read(READER, {"observation": GOOD, "episode": "e", "step": 3, "deterministic": False})

    assert (prediction.episode, prediction.step, prediction.deterministic) == ("e", 3, False)
    assert observation.dtype == np.float32
    np.testing.assert_allclose(observation, GOOD, rtol=1e-6)


def test_the_place_in_a_list_is_named() -> None:
    with pytest.raises(BadInput, match=r"items\[3\]\.observation has shape") as caught:
        read(READER, {"observation": [1.0]}, "items[3].")
    assert caught.value.field == "items[3].observation"


def test_sampling_needs_probabilities() -> None:
    with pytest.raises(BadInput, match="no probabilities to sample from"):
        read(Reader(CARTPOLE, stochastic=False), {"observation": GOOD, "deterministic": False})


def test_a_bad_observation_is_found_among_good_ones() -> None:
    raws = [np.array(GOOD), np.array([1, 2, 3, 4]), np.array([0, 0, 0, np.nan]), np.array([0, 1e300, 0, 0])]

    batch, refused = READER.gather(raws, [f"items[{index}]." for index in range(4)])

    assert {index: error.field for index, error in refused.items()} == {
        2: "items[2].observation",
        3: "items[3].observation",
    }
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch, [GOOD, [1, 2, 3, 4], [0] * 4, [0] * 4], rtol=1e-6)


def test_bytes_do_not_wrap() -> None:
    reader = Reader(BoxSpace(shape=[2], dtype="uint8", low=[0, 0], high=[255, 255]), stochastic=True)

    assert read(reader, {"observation": [0, 255]})[1].dtype == np.uint8
    for bad in ([0, 256], [-1, 0], [0.5, 0]):
        with pytest.raises(BadInput, match="no uint8"):
            read(reader, {"observation": bad})


def test_a_discrete_observation_is_one_of_its_numbers() -> None:
    reader = Reader(DiscreteSpace(n=3, start=1), stochastic=True)

    assert int(read(reader, {"observation": 3})[1]) == 3
    for bad in (0, 4, 1.5, [1]):
        with pytest.raises(BadInput, match="from 1 to 3"):
            read(reader, {"observation": bad})


def test_nan_literals_pass_the_parser_so_that_one_item_is_refused_and_not_its_list() -> None:
    first, second = read_body(b'[{"observation": [NaN]}, {"observation": [1]}]')

    assert np.isnan(first["observation"][0])
    assert second == {"observation": [1]}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"observation=1"])
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(BadInput, match="the body is no JSON"):
        read_body(body)
