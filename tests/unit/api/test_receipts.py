"""A receipt proves a decision: only the namespace's own key makes one, and nothing in it can be changed."""

from datetime import UTC, datetime

import pytest

from belay_api.receipts import BadReceipt, Receipt, check, namespace_key, sign

MASTER = b"m" * 32
RECEIPT = Receipt("team-a", "cartpole-7f3a9c", "e1", 0, datetime(2026, 5, 4, 10, 0, 0, 250_000, tzinfo=UTC))


def test_a_receipt_reads_back() -> None:
    key = namespace_key(MASTER, "team-a")
    assert check(sign(RECEIPT, key), key) == RECEIPT


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
