"""Observations of several parts, choices and masks in service: what is taken, what is refused, and by which name."""

from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
from tests.unit.handler.artifacts import manifest

from belay_api.spaces import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TupleSpace,
)
from belay_handler.acting import Actor
from belay_handler.observing import BadInput
from belay_handler.requests import Reader
from belay_handler.server import Answer, Ask, Server
from belay_heads.observations import blank, numbers, parts

POSITION = BoxSpace(shape=[2], dtype="float32", low=[None, None], high=[None, None])
PIXELS = BoxSpace(shape=[2, 1], dtype="uint8", low=[0, 0], high=[255, 255])
GEARS = MultiDiscreteSpace(nvec=[3, 2], start=[0, 1])
LAMPS = MultiBinarySpace(shape=[3])
CAR = DictSpace(
    spaces={"position": POSITION, "gears": GEARS, "lamps": LAMPS, "lane": DiscreteSpace(n=4), "eye": PIXELS}
)
CAR_ROW = ["eye", "eye", "gears", "gears", "lamps", "lamps", "lamps", "lane", "position", "position"]
GOOD = {"position": [0.1, -1e-7], "gears": [2, 1], "lamps": [0, 1, 1], "lane": 3, "eye": [[7], [255]]}
PAIR = TupleSpace(spaces=[POSITION, DiscreteSpace(n=3)])


def read(space: Space, observation: object) -> np.ndarray:
    """Read one observation to the end. Raises: BadInput."""
    reader = Reader(space, stochastic=True)
    _, seen = reader.read({"observation": observation}, path="items[3].")
    batch, refused = reader.gather([seen, seen], ["items[3].", "items[4]."])
    if refused:
        raise refused[0]
    np.testing.assert_array_equal(batch[0], batch[1])
    return batch[0]


def test_parts_lie_in_the_row_in_the_order_of_their_keys() -> None:
    row = read(CAR, GOOD)
    assert row.dtype == np.float64
    assert row.tolist() == [7, 255, 2, 1, 0, 1, 1, 3, float(np.float32(0.1)), float(np.float32(-1e-7))]
    assert [part.key for part in parts(CAR) for _ in range(part.size)] == CAR_ROW
    backwards = dict(reversed(GOOD.items()))
    assert read(CAR, backwards).tolist() == row.tolist(), "the order in the request does not matter"
    arrays = {key: np.asarray(value) for key, value in GOOD.items()}
    np.testing.assert_allclose(numbers(arrays, parts(CAR)), row, rtol=1e-6)


def test_a_tuple_is_a_list_of_its_parts() -> None:
    assert read(PAIR, [[0.5, 2], 1]).tolist() == [0.5, 2, 1]


def test_choices_and_switches_keep_their_shape() -> None:
    assert (read(GEARS, [2, 2]).dtype, read(GEARS, [2, 2]).tolist()) == (np.int64, [2, 2])
    assert (read(LAMPS, [0, 1, 1]).dtype, read(LAMPS, [0, 1, 1]).tolist()) == (np.int8, [0, 1, 1])


@pytest.mark.parametrize("space", [POSITION, PIXELS, GEARS, LAMPS, DiscreteSpace(n=3, start=2), CAR, PAIR])
def test_a_blank_observation_is_one_of_the_space(space: Space) -> None:
    found = blank(space)
    if not parts(space):
        assert read(space, found.tolist()).tolist() == found.tolist()
    assert found.shape == Reader(space, stochastic=True)._numbers.shape


@pytest.mark.parametrize(
    ("space", "observation", "field", "says"),
    [
        (CAR, [1, 2], "", "is no object but a list; wanted one with the keys eye, gears, lamps, lane, position"),
        (CAR, None, "", "is no object but null"),
        (CAR, 3.5, "", "is no object but a number"),
        (CAR, GOOD | {"speed": 1}, ".speed", "is no part of this policy's observation; known are eye, gears"),
        (CAR, {"position": [0, 0]}, ".eye", "is missing; wanted the keys eye, gears, lamps, lane, position"),
        (CAR, GOOD | {"position": [0]}, ".position", "has shape [1]; wanted numbers of shape [2] (Box(2,) float32)"),
        (CAR, GOOD | {"position": [0, np.nan]}, ".position", "holds NaN or infinity"),
        (CAR, GOOD | {"position": [0, 1e300]}, ".position", "holds numbers too large for float32"),
        (CAR, GOOD | {"position": "north"}, ".position", "holds something that is no number"),
        (CAR, GOOD | {"gears": [3, 1]}, ".gears", "is [3, 1]; wanted whole numbers of shape [2], from 0 to 2, 1 to 2"),
        (CAR, GOOD | {"gears": [0, 0]}, ".gears", "is [0, 0]; wanted whole numbers"),
        (CAR, GOOD | {"lamps": [0, 1, 2]}, ".lamps", "is [0, 1, 2]; wanted zeros and ones of shape [3]"),
        (CAR, GOOD | {"lamps": [0, 1, 0.5]}, ".lamps", "holds numbers that are no int8; wanted zeros and ones"),
        (CAR, GOOD | {"lane": 4}, ".lane", "is 4; wanted a whole number from 0 to 3"),
        (CAR, GOOD | {"eye": [[7], [256]]}, ".eye", "holds numbers that are no uint8"),
        (PAIR, {"0": [0, 0]}, "", "is no list but an object; wanted a list of 2 observations"),
        (PAIR, [[0, 0]], "", "is a list of 1; wanted a list of 2 observations"),
        (PAIR, [[0, 0], 3], "[1]", "is 3; wanted a whole number from 0 to 2"),
        (PAIR, [[0], 1], "[0]", "has shape [1]"),
        (GEARS, [2], "", "has shape [1]; wanted whole numbers of shape [2]"),
        (GEARS, [2, 1.5], "", "holds numbers that are no int64"),
        (LAMPS, [0, 1, -1], "", "is [0, 1, -1]; wanted zeros and ones"),
        (LAMPS, [0, 1, True], "", ""),
    ],
)
def test_what_is_refused_says_which_part(space: Space, observation: object, field: str, says: str) -> None:
    if not says:  # numpy takes a boolean among numbers for one
        assert read(space, observation).tolist() == [0, 1, 1]
        return
    with pytest.raises(BadInput) as caught:
        read(space, observation)
    assert caught.value.field == f"items[3].observation{field}"
    assert says in caught.value.message


def test_a_bad_part_is_found_among_good_observations() -> None:
    reader = Reader(CAR, stochastic=True)
    sent = [GOOD, GOOD | {"lane": 9}, GOOD | {"position": [0, np.inf]}, GOOD]
    seen = [reader.read({"observation": one})[1] for one in sent]
    batch, refused = reader.gather(seen, [f"items[{index}]." for index in range(4)])
    wanted = {1: "items[1].observation.lane", 2: "items[2].observation.position"}
    assert {index: error.field for index, error in refused.items()} == wanted
    assert batch[0].tolist() == batch[3].tolist() == read(CAR, GOOD).tolist()


LOGITS = np.array([3.0, 2.0, 1.0, 0.0, 5.0], np.float32)  # two choices: of three and of two
CHOICES = MultiDiscreteSpace(nvec=[3, 2], start=[0, 0])


def masked(output: str = "masked-multi-categorical", action: Space = CHOICES, width: int = 5) -> Server:
    def network(batch: np.ndarray) -> np.ndarray:
        return np.tile(LOGITS[:width], (len(batch), 1))

    actor = Actor(manifest(observation=POSITION, action=action, output=output), network, np.random.default_rng(0))
    reader = Reader(POSITION, stochastic=actor.stochastic, masks=actor.masks)
    return Server(policy="p-1", namespace="a", actor=actor, reader=reader, receipt_key=None, on_start=lambda _: None)


def ask(server: Server, *items: dict[str, object]) -> list[Answer]:
    """Ask for each by itself, in one batch."""
    whole = [{"observation": [0, 0], **item} for item in items]
    return server.answer([Ask(orjson.dumps(one)) for one in whole], datetime(2026, 1, 1, tzinfo=UTC))


def test_each_request_of_a_batch_is_answered_under_its_own_mask() -> None:
    answers = ask(
        masked(), {"mask": [1, 1, 1, 1, 1]}, {"mask": [0, 1, 1, 1, 0]}, {"mask": [False, False, True, True, True]}
    )
    assert [orjson.loads(one.body)["action"] for one in answers] == [[0, 1], [1, 0], [2, 1]]
    one = masked("masked-logits", DiscreteSpace(n=3, start=5), 3)
    assert [orjson.loads(each.body)["action"] for each in ask(one, {"mask": [0, 0, 1]}, {"mask": [0, 1, 1]})] == [7, 6]


def test_what_a_mask_forbids_is_never_drawn_and_the_rest_as_the_logits_say() -> None:
    draws = 4000
    answers = ask(masked(), *[{"mask": [1, 0, 1, 1, 1], "deterministic": False}] * draws)
    drawn = np.array([orjson.loads(one.body)["action"] for one in answers])
    assert set(drawn[:, 0]) == {0, 2}
    share = 1 / (1 + np.exp(-2.0))
    assert abs((drawn[:, 0] == 0).mean() - share) < 4 * np.sqrt(share * (1 - share) / draws)  # once in 15,000


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (None, "mask is missing: this policy chooses among the actions that are allowed now; wanted a list of 5 zeros"),
        (
            [1, 1, 1],
            "mask is [1, 1, 1]; wanted a list of 5 zeros and ones, one for each action of its choices of [3, 2]",
        ),
        ([1, 1, 1, 1, 2], "mask is [1, 1, 1, 1, 2]; wanted a list of 5"),
        ([1] * 50, "mask is a list of 50; wanted"),
        ([1, 1, 1, 0, 0], "mask allows no action of choice 1: allow at least one"),
        ([1, 1, 1, 0, "yes"], "mask"),
        (7, "mask: Input should be a valid list"),
    ],
)
def test_a_mask_that_cannot_be_used_is_refused_alone(mask: object, says: str) -> None:
    bad, good = ask(masked(), {} if mask is None else {"mask": mask}, {"mask": [1] * 5})
    error = orjson.loads(bad.body)["error"]
    assert (bad.status, error["field"].split(".")[0], good.status) == (400, "mask", 200)
    assert says in error["message"]


def test_a_policy_without_masks_takes_none() -> None:
    (answer,) = ask(masked("multi-categorical"), {"mask": [1] * 5})
    assert answer.status == 400
    assert "this policy was trained without masks; leave it out" in orjson.loads(answer.body)["error"]["message"]
