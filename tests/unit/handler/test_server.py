"""A batch of requests: one forward pass, each good item acted on, each bad one refused alone."""

from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
from tests.unit.handler.artifacts import CARTPOLE, TWO_ACTIONS, manifest, outputs

from belay_api import receipts
from belay_api.spaces import BoxSpace, Space
from belay_api.wire import Action, ErrorAnswer
from belay_handler.acting import Actor
from belay_handler.requests import Reader
from belay_handler.server import Ask, Server

KEY = receipts.namespace_key(b"m" * 32, "team-a")
NOW = datetime(2026, 5, 4, 10, 0, 0, 123_000, tzinfo=UTC)
LEFT, RIGHT = [1.0, 0, 0, 0], [0, 0, 1.0, 0]  # actions 0 and 1 by the weights


class Counting:
    """The linear layer, counting its forward passes."""

    def __init__(self) -> None:
        self.passes = 0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.passes += 1
        return outputs(batch)


@pytest.fixture
def network() -> Counting:
    return Counting()


@pytest.fixture
def started() -> list[str]:
    return []


@pytest.fixture
def server(network: Counting, started: list[str]) -> Server:
    return make(network, started, KEY)


def make(network, started: list[str], key: bytes | None, **spaces) -> Server:
    actor = Actor(manifest(**spaces), network, np.random.default_rng(0))
    return Server(
        policy="cartpole-1",
        namespace="team-a",
        actor=actor,
        reader=Reader(CARTPOLE, stochastic=actor.stochastic),
        receipt_key=key,
        on_start=started.append,
    )


def body(value: object) -> bytes:
    return orjson.dumps(value)


def asked(bodies: list, rollout: bytes | None = None) -> list[Ask]:
    return [Ask(one, rollout) for one in bodies]


def test_a_decision_carries_its_version_and_a_receipt(server: Server, started: list[str]) -> None:
    (answer,) = server.answer(asked([body({"observation": RIGHT, "episode": "e1"})]), NOW)

    action = Action.model_validate_json(answer.body)
    assert (answer.status, action.action, action.policy, action.fallback) == (200, 1, "cartpole-1", False)
    assert answer.receipt == action.receipt
    assert receipts.check(action.receipt, KEY) == receipts.Receipt("team-a", "cartpole-1", "e1", 0, NOW)
    assert started == [action.receipt]


def test_only_the_first_decision_of_an_episode_starts_it(server: Server, started: list[str]) -> None:
    answers = server.answer(
        asked([body({"observation": LEFT, "episode": "e1", "step": step}) for step in (0, 1, 2)]), NOW
    )

    steps = [receipts.check(answer.receipt, KEY).step for answer in answers]
    assert steps == [0, 1, 2]
    assert [receipts.check(receipt, KEY).step for receipt in started] == [0]


def test_a_receipt_names_the_rollout_whose_route_the_request_came_through(server: Server, started: list[str]) -> None:
    """Each request of a batch its own, and each item of a list; a start tells it as well."""
    one, many = body({"observation": LEFT, "episode": "e"}), body([{"observation": LEFT, "episode": "e"}] * 2)

    answers = server.answer([Ask(one, b"shop"), Ask(many, b"search.eu"), Ask(one)], NOW)

    items = [item for answer in answers for item in _list(orjson.loads(answer.body))]
    rollouts = [receipts.check(item["receipt"], KEY).rollout for item in items]
    assert rollouts == ["shop", "search.eu", "search.eu", None]
    assert [receipts.check(receipt, KEY).rollout for receipt in started] == rollouts


@pytest.mark.parametrize(
    "header", [b"", b"Shop", b"-shop", b"a shop", b"shop\n", b"sh\xc3\xb6p", b"\xff", b"a,b", b"a" * 254]
)
def test_what_no_rollout_can_be_called_came_through_no_route(server: Server, header: bytes) -> None:
    (answer,) = server.answer([Ask(body({"observation": LEFT, "episode": "e"}), header)], NOW)

    assert receipts.check(answer.receipt, KEY).rollout is None


def test_a_receipt_says_whose_episode_it_is(server: Server, started: list[str]) -> None:
    one, many = body({"observation": LEFT, "episode": "e"}), body([{"observation": LEFT, "episode": "e"}] * 2)

    answers = server.answer([Ask(one, b"shop", user=b"1239", tens=b"3", ones=b"9"), Ask(many, b"shop")], NOW)

    items = [item for answer in answers for item in _list(orjson.loads(answer.body))]
    assert [receipts.check(item["receipt"], KEY).user for item in items] == [1239, None, None]
    assert [receipts.check(receipt, KEY).user for receipt in started] == [1239, None, None]


def test_a_user_that_is_none_is_refused_alone_and_starts_nothing(server: Server, started: list[str]) -> None:
    """Else the gateway went by one number, and the logbook by another."""
    one = body({"observation": LEFT, "episode": "e"})
    wrong, right = Ask(one, b"shop", user=b"1239", tens=b"3", ones=b"8"), Ask(one, b"shop")

    answers = server.answer([wrong, right, Ask(one, b"shop", user=b"alice")], NOW)

    assert [answer.status for answer in answers] == [400, 200, 400]
    assert b"x-belay-user-ones is '8'" in answers[0].body
    assert len(started) == 1


def _list(value: object) -> list:
    return value if isinstance(value, list) else [value]


def test_a_decision_outside_episodes_has_no_receipt(server: Server, started: list[str]) -> None:
    (answer,) = server.answer(asked([body({"observation": LEFT})]), NOW)

    assert orjson.loads(answer.body) == {"action": 0, "policy": "cartpole-1", "fallback": False}
    assert answer.receipt is None
    assert started == []


def test_no_key_no_receipts(network: Counting, started: list[str]) -> None:
    (answer,) = make(network, started, None).answer(asked([body({"observation": LEFT, "episode": "e1"})]), NOW)

    assert orjson.loads(answer.body)["action"] == 0
    assert answer.receipt is None
    assert started == []


def test_one_forward_pass_for_all_and_400_for_the_bad_ones(server: Server, network: Counting) -> None:
    bodies = [body({"observation": RIGHT if index % 2 else LEFT}) for index in range(16)]
    bodies[3] = b'{"observation": [NaN, 0, 0, 0]}'
    bodies[7] = b"{broken"
    bodies[9] = body({"observation": LEFT, "typo": 1})

    answers = server.answer(asked(bodies), NOW)

    assert network.passes == 1
    assert [index for index, answer in enumerate(answers) if answer.status != 200] == [3, 7, 9]
    for index, answer in enumerate(answers):
        if index in (3, 7, 9):
            assert ErrorAnswer.model_validate_json(answer.body).error.status == 400
        else:
            assert orjson.loads(answer.body)["action"] == index % 2


def test_a_list_is_answered_in_its_order_and_the_bad_item_in_its_place(server: Server, network: Counting) -> None:
    items = [{"observation": RIGHT, "episode": "a"}, {"observation": [1]}, {"observation": LEFT, "episode": "b"}]

    (answer,) = server.answer(asked([body(items)]), NOW)

    first, second, third = orjson.loads(answer.body)
    assert (answer.status, network.passes) == (200, 1)
    assert (first["action"], third["action"]) == (1, 0)
    assert second["error"]["field"] == "items[1].observation"
    assert answer.receipt == first["receipt"]
    assert receipts.check(third["receipt"], KEY).episode == "b"


def test_a_list_of_nothing_but_bad_items_is_400(server: Server) -> None:
    (answer,) = server.answer(asked([body([{"observation": [1]}, 7])]), NOW)

    assert answer.status == 400
    assert [item["error"]["status"] for item in orjson.loads(answer.body)] == [400, 400]


@pytest.mark.parametrize("items", [[], [{"observation": LEFT}] * 10_001])
def test_a_list_too_short_or_too_long_is_400(server: Server, items: list) -> None:
    (answer,) = server.answer(asked([body(items)]), NOW)

    assert answer.status == 400
    assert "1 to 10000" in ErrorAnswer.model_validate_json(answer.body).error.message


def test_an_answer_too_large_to_send_is_413_and_the_others_are_answered(server: Server) -> None:
    long = [{"observation": LEFT, "episode": f"{index:08}" + "ü" * 120} for index in range(10_000)]

    large, other = server.answer(asked([body(long), body({"observation": RIGHT})]), NOW)

    assert (large.status, large.receipt, other.status) == (413, None, 200)
    assert "at most 6500000 are sent: send fewer" in ErrorAnswer.model_validate_json(large.body).error.message


def test_lists_too_long_together_are_told_to_come_again(server: Server, network: Counting) -> None:
    """However many arrive at once, a batch ends in time; TorchServe would end the worker otherwise."""
    long, one = body([{"observation": LEFT}] * 4_000), body({"observation": RIGHT})

    answers = server.answer(asked([long, one, long, b"[", long, one, body([{"observation": LEFT}] * 2_000)]), NOW)

    assert [answer.status for answer in answers] == [200, 200, 200, 400, 503, 200, 200]
    assert "send this list again" in ErrorAnswer.model_validate_json(answers[4].body).error.message
    assert network.passes == 1


def test_a_network_that_answers_nan_is_500_for_that_item(started: list[str]) -> None:
    def poisoned(batch: np.ndarray) -> np.ndarray:
        answers = outputs(batch)
        answers[batch[:, 3] == 7] = np.nan
        return answers

    bodies = [body({"observation": LEFT}), body({"observation": [0, 0, 0, 7], "episode": "e"})]
    good, bad = make(poisoned, started, KEY).answer(asked(bodies), NOW)

    assert (good.status, bad.status) == (200, 500)
    assert "NaN or infinity" in ErrorAnswer.model_validate_json(bad.body).error.message
    assert started == []


BOX = BoxSpace(shape=[2], dtype="float32", low=[-1.0] * 2, high=[1.0] * 2)


@pytest.mark.parametrize(
    ("output", "action", "status"),
    [
        ("logits", TWO_ACTIONS, 200),
        ("q-values", TWO_ACTIONS, 400),
        ("choice", TWO_ACTIONS, 400),
        ("mean", BOX, 400),
        ("gaussian", BOX, 200),
        ("squashed-gaussian", BOX, 200),
    ],
)
def test_sampling_is_answered_where_the_policy_has_a_distribution(output: str, action: Space, status: int) -> None:
    width = 4 if output.endswith("gaussian") else 1 if output == "choice" else 2
    server = make(lambda batch: np.zeros((len(batch), width), np.float32), [], None, output=output, action=action)
    best, drawn = server.answer(
        asked([body({"observation": LEFT}), body({"observation": LEFT, "deterministic": False})]), NOW
    )

    assert best.status == 200
    assert drawn.status == status
    if status == 200 and action is BOX:
        assert orjson.loads(best.body)["action"] == [0, 0]
        values = orjson.loads(drawn.body)["action"]
        assert [isinstance(value, float) and -1 <= value <= 1 and value != 0 for value in values] == [True, True]


def test_an_empty_body_asks_for_readiness(server: Server, network: Counting) -> None:
    answers = server.answer(asked([None, b"", bytearray()]), NOW)

    assert [(answer.status, answer.body, answer.probe) for answer in answers] == [(200, b'{"ready":true}', True)] * 3
    assert network.passes == 0
