"""The serving protocol, version 1, as tests: any runtime that passes may stand behind an RLPolicy.

    pytest tests/conformance/serving.py --serving-url http://127.0.0.1:8080/predictions/policy \
        --serving-observation '[0, 0, 0, 0]' --serving-policy cartpole-7f3a9c

handlers/README.md is the text; a test here is the law.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from belay_api import receipts
from belay_api.wire import Action, ErrorAnswer, ErrorBody

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Target:
    """One server under test."""

    url: str  # what predictions are posted to
    observation: Any  # one that the policy takes
    policy: str | None = None  # its name; None: whatever it says
    namespace: str | None = None  # with `receipt_key`: receipts are checked
    receipt_key: bytes | None = None


class TestServing:
    """Needs a fixture `target`."""

    @pytest.fixture
    def client(self, target: Target):
        with httpx.Client(timeout=TIMEOUT_S) as client:
            yield client

    def post(self, client: httpx.Client, target: Target, value: Any) -> httpx.Response:
        return client.post(target.url, json=value)

    def test_get_is_readiness(self, client: httpx.Client, target: Target) -> None:
        assert client.get(target.url).status_code == 200

    def test_one_observation(self, client: httpx.Client, target: Target) -> None:
        answer = self.post(client, target, {"observation": target.observation})

        action = Action.model_validate(answer.json())
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-belay-policy"] == action.policy
        assert action.policy == (target.policy or action.policy)
        assert action.receipt is None
        assert not action.fallback

    def test_the_best_action_is_the_same_every_time(self, client: httpx.Client, target: Target) -> None:
        answers = [self.post(client, target, {"observation": target.observation}).json() for _ in range(5)]

        assert all(answer == answers[0] for answer in answers)

    def test_the_content_type_does_not_matter(self, client: httpx.Client, target: Target) -> None:
        body = b'{"observation": ' + httpx.Request("POST", "http://x", json=target.observation).content + b"}"
        for kind in ("application/json", "application/json; charset=utf-8", "text/plain", "application/octet-stream"):
            answer = client.post(target.url, content=body, headers={"content-type": kind})
            assert answer.status_code == 200, kind
        assert client.post(target.url, content=body).status_code == 200

    def test_a_receipt_per_decision_of_an_episode(self, client: httpx.Client, target: Target) -> None:
        for step in (0, 1, 7):
            message = {"observation": target.observation, "episode": "conformance é", "step": step}
            answer = self.post(client, target, message)
            action = Action.model_validate(answer.json())
            assert action.receipt is not None
            assert answer.headers["x-belay-receipt"] == action.receipt
            if target.receipt_key is None:
                continue
            receipt = receipts.check(action.receipt, target.receipt_key)
            assert (receipt.namespace, receipt.version) == (target.namespace, action.policy)
            assert (receipt.episode, receipt.step) == ("conformance é", step)
            assert abs(datetime.now(UTC) - receipt.at) < timedelta(minutes=1)

    @pytest.mark.parametrize("rollout", [None, "conformance", "two.dots-1", "Not A Name"])
    def test_every_receipt_names_the_rollout_of_the_route(
        self, client: httpx.Client, target: Target, rollout: str | None
    ) -> None:
        headers = {} if rollout is None else {"X-Belay-Rollout": rollout}
        item = {"observation": target.observation, "episode": "conformance"}
        answers = [client.post(target.url, json=value, headers=headers).json() for value in (item, [item, item])]

        assert "receipt" in answers[0]
        if target.receipt_key is not None:
            found = {receipts.check(it["receipt"], target.receipt_key).rollout for it in (answers[0], *answers[1])}
            assert found == {None if rollout == "Not A Name" else rollout}

    def test_a_list_is_answered_in_order(self, client: httpx.Client, target: Target) -> None:
        items = [{"observation": target.observation, "episode": f"e{index}"} for index in range(40)]
        answer = self.post(client, target, items)

        actions = [Action.model_validate(item) for item in answer.json()]
        assert answer.status_code == 200
        assert len(actions) == 40
        assert answer.headers["x-belay-receipt"] == actions[0].receipt
        if target.receipt_key is not None:
            episodes = [receipts.check(action.receipt or "", target.receipt_key).episode for action in actions]
            assert episodes == [f"e{index}" for index in range(40)]

    @pytest.mark.parametrize(
        ("message", "field"),
        [
            ({}, "observation"),
            ({"observation": None}, "observation"),
            ({"observation": "0"}, "observation"),
            ({"observation": [[[[[[]]]]]]}, "observation"),
            ({"observation": 0, "observatoin": 0}, "observatoin"),
            ({"observation": 0, "step": -1}, "step"),
            ({"observation": 0, "episode": ""}, "episode"),
        ],
    )
    def test_bad_input_is_400_and_names_the_field(
        self, client: httpx.Client, target: Target, message: dict, field: str
    ) -> None:
        if field != "observation":
            message = message | {"observation": target.observation}
        answer = self.post(client, target, message)

        error = ErrorAnswer.model_validate(answer.json()).error
        assert (answer.status_code, error.status, error.field) == (400, 400, field)
        assert field in error.message
        assert answer.headers["x-belay-policy"]

    @pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
    def test_an_observation_that_is_not_finite_is_400(self, client: httpx.Client, target: Target, word: str) -> None:
        answer = client.post(target.url, content=_with_first_number(target.observation, word))

        assert answer.status_code == 400
        assert ErrorAnswer.model_validate(answer.json()).error.field == "observation"

    @pytest.mark.parametrize("body", [b"{", b"nonsense", b"\xff\xfe\x00", b"[]"])
    def test_a_malformed_body_is_400(self, client: httpx.Client, target: Target, body: bytes) -> None:
        answer = client.post(target.url, content=body)

        assert answer.status_code == 400
        assert ErrorAnswer.model_validate(answer.json()).error.status == 400

    def test_a_form_is_400_and_no_probe(self, client: httpx.Client, target: Target) -> None:
        """What `curl -d` sends unless it is told that it sends JSON."""
        form = {"content-type": "application/x-www-form-urlencoded"}
        answer = client.post(target.url, content=b'{"observation":[0]}', headers=form)

        assert answer.status_code == 400

    def test_what_is_remembered_goes_back_and_nonsense_does_not(self, client: httpx.Client, target: Target) -> None:
        message = {"observation": target.observation, "episode": "conformance", "step": 0}
        first = self.post(client, target, message).json()
        if first.get("state") is not None:  # a policy that remembers
            again = self.post(client, target, message | {"step": 1, "state": first["state"]})
            assert (again.status_code, type(again.json()["state"])) == (200, str)
        answer = self.post(client, target, message | {"state": "nonsense"})
        assert answer.status_code in (400, 409)
        assert ErrorAnswer.model_validate(answer.json()).error.field == "state"

    def test_a_bad_item_of_a_list_is_refused_alone(self, client: httpx.Client, target: Target) -> None:
        good = {"observation": target.observation}
        answer = self.post(client, target, [good, {"observation": "no"}, good])

        first, second, third = answer.json()
        assert answer.status_code == 200
        assert Action.model_validate(first) == Action.model_validate(third)
        assert ErrorBody.model_validate(second["error"]).field == "items[1].observation"

    def test_bad_requests_beside_good_ones(self, target: Target) -> None:
        """Many at once, so that a runtime that batches has both in one batch."""
        good = {"observation": target.observation}
        with httpx.Client(timeout=TIMEOUT_S) as client, ThreadPoolExecutor(16) as pool:
            wanted = [400 if index % 4 == 0 else 200 for index in range(200)]
            sent = pool.map(lambda status: self.post(client, target, good if status == 200 else {}), wanted)
            found = [answer.status_code for answer in sent]

        assert found == wanted


def _with_first_number(observation: Any, word: str) -> bytes:
    """Return a body whose observation has its first number replaced by `word`, as Python's json writes it."""
    text = httpx.Request("POST", "http://x", json={"observation": observation}).content.decode()
    start = next(index for index, sign in enumerate(text) if sign in "-0123456789")
    end = next(index for index in range(start, len(text)) if text[index] not in "-+.eE0123456789")
    return (text[:start] + word + text[end:]).encode()
