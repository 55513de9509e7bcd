"""A receipt proves a decision: only the namespace's own key makes one, and nothing in it can be changed."""

import base64
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from belay_api.receipts import BadReceipt, Foreseen, Receipt, check, namespace_key, sign
from belay_api.users import USERS

MASTER = b"m" * 32
RECEIPT = Receipt("team-a", "cartpole-7f3a9c", "e1", 0, datetime(2026, 5, 4, 10, 0, 0, 250_000, tzinfo=UTC))


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(prefix: str, payload: list, key: bytes) -> str:
    """What a runtime of somebody's own signs; written by the text of the module, not by its code."""
    body = f"{prefix}.{encoded(json.dumps(payload).encode())}"
    return f"{body}.{encoded(hmac.digest(key, body.encode(), 'sha256'))}"


@pytest.mark.parametrize("rollout", [None, "cartpole"])
def test_a_receipt_reads_back(rollout: str | None) -> None:
    key, receipt = namespace_key(MASTER, "team-a"), replace(RECEIPT, rollout=rollout)
    assert sign(receipt, key).startswith("v2.")
    assert check(sign(receipt, key), key) == receipt
    payload = ["team-a", "cartpole-7f3a9c", "e1", 0, 1777888800250, rollout]
    assert check(signed("v2", payload, key), key) == receipt


def test_what_a_critic_said_stands_in_the_receipt() -> None:
    key, said = namespace_key(MASTER, "team-a"), Foreseen("0f" * 32, 3)
    for rollout in (None, "cartpole"):
        receipt = replace(RECEIPT, rollout=rollout, foreseen=said)
        token = sign(receipt, key)
        assert token.startswith("v3.")
        assert check(token, key) == receipt
    payload = ["team-a", "cartpole-7f3a9c", "e1", 0, 1777888800250, "cartpole", "0f" * 32, 3]
    assert check(signed("v3", payload, key), key) == receipt


def test_whose_episode_it_is_stands_in_the_receipt() -> None:
    key, payload = namespace_key(MASTER, "team-a"), ["team-a", "cartpole-7f3a9c", "e1", 0, 1777888800250, "cartpole"]
    for user in (0, USERS - 1):
        receipt = replace(RECEIPT, rollout="cartpole", user=user)
        judged = replace(receipt, foreseen=Foreseen("0f" * 32, 3))
        for said, more in ((receipt, [user]), (judged, [user, "0f" * 32, 3])):
            assert sign(said, key).startswith("v4.")
            assert check(sign(said, key), key) == said
            assert check(signed("v4", [*payload, *more], key), key) == said


@pytest.mark.parametrize("user", [None, "7", 7.0, True, -1, USERS])
def test_what_is_no_user_is_refused_though_it_is_signed(user: object) -> None:
    key = namespace_key(MASTER, "team-a")
    with pytest.raises(BadReceipt, match="user"):
        check(signed("v4", ["team-a", "a", "e1", 0, 1777888800250, None, user], key), key)


@pytest.mark.parametrize("said", [["0f" * 32, 5], ["0f" * 32, -1], ["0f" * 32, None], ["0f", 1], [None, 1], [7, 1]])
def test_what_no_critic_says_is_refused_though_it_is_signed(said: list) -> None:
    key = namespace_key(MASTER, "team-a")
    with pytest.raises(BadReceipt, match="critic"):
        check(signed("v3", ["team-a", "a", "e1", 0, 1777888800250, None, *said], key), key)


def test_a_receipt_of_version_1_is_one_of_no_rollout() -> None:
    """As a serving pod signed it before the upgrade; the episode is under way."""
    key = bytes.fromhex("5d" * 32)
    token = (
        "v1.WyJ0ZWFtLWEiLCJjYXJ0cG9sZS03ZjNhOWMiLCJlMSIsMCwxNzc3ODg4ODAwMjUwXQ"
        ".ZkgnpCeLqWOJT7olknLSIotaghh2y8Bj0MrMYDp-XSw"
    )
    assert check(token, key) == RECEIPT


def test_a_receipt_cannot_be_moved_to_another_rollout_nor_out_of_its_own() -> None:
    key, elsewhere = namespace_key(MASTER, "team-a"), replace(RECEIPT, rollout="other")
    ours, theirs = (sign(it, key).split(".") for it in (replace(RECEIPT, rollout="mine"), elsewhere))
    without = encoded(json.dumps(["team-a", "cartpole-7f3a9c", "e1", 0, 1777888800250]).encode())
    for forged in ([ours[0], theirs[1], ours[2]], ["v1", without, ours[2]], ["v1", ours[1], ours[2]]):
        with pytest.raises(BadReceipt, match="not issued"):
            check(".".join(forged), key)


@pytest.mark.parametrize(
    ("prefix", "fields"), [("v1", 6), ("v2", 5), ("v2", 7), ("v3", 6), ("v3", 7), ("v4", 6), ("v5", 7)]
)
def test_a_payload_of_another_shape_is_refused_though_it_is_signed(prefix: str, fields: int) -> None:
    key = namespace_key(MASTER, "team-a")
    payload = ["team-a", "cartpole-7f3a9c", "e1", 0, 1777888800250, None, None][:fields]
    with pytest.raises(BadReceipt):
        check(signed(prefix, payload, key), key)


def test_another_namespaces_key_does_not_fit() -> None:
    token = sign(RECEIPT, namespace_key(MASTER, "team-a"))
    with pytest.raises(BadReceipt, match="not issued"):
        check(token, namespace_key(MASTER, "team-b"))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_part_is_found(part: int) -> None:
    key = namespace_key(MASTER, "team-a")
    parts = sign(RECEIPT, key).split(".")
    parts[part] = parts[part][:-2] + ("AA" if parts[part][-2:] != "AA" else "BB")
    with pytest.raises(BadReceipt):
        check(".".join(parts), key)


@pytest.mark.parametrize("token", ["", "a.b", "v1..", "not a receipt", "v1.ä.ö"])
def test_rubbish_is_refused_not_raised_through(token: str) -> None:
    with pytest.raises(BadReceipt):
        check(token, namespace_key(MASTER, "team-a"))
