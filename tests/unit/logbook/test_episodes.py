"""Starts and outcomes at the door: proven, idempotent, each item judged for itself."""

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.unit.logbook.support import MASTER, receipt

from belay_api.receipts import namespace_key


def look(client: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = client.get("/statistics", params={"versions": "candidate", "window": 86400, "grace": 60, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["versions"][0]


def outcome(token: str, value: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"receipt": token, "outcomes": {"return": value}, **more}


def total(version: dict[str, Any], field: str) -> int:
    return sum(window[field] for window in version["windows"])


def test_an_episode_counts_once_however_often_it_is_told(client: httpx.Client, namespace: str) -> None:
    token = receipt("e", ago=2, namespace=namespace)
    for value in (10.0, 99.0):
        client.post("/starts", json={"items": [{"receipt": token}]}).raise_for_status()
        answer = client.post("/outcomes", json={"items": [outcome(token, value), outcome(token, value + 1)]})
        assert answer.json() == {"accepted": 2, "refused": []}
    version = look(client, grace=1.999, since="1970-01-01T00:00:00Z")
    assert total(version, "count") + total(version, "missing") == 1
    mean = look(client, grace=0, outcome="return")  # due at once; reported later than 0 s after its start: missing
    assert total(mean, "missing") == 1


def test_the_first_report_stands(client: httpx.Client, namespace: str) -> None:
    token = receipt("e", ago=1, namespace=namespace)
    client.post("/outcomes", json={"items": [outcome(token)]}).raise_for_status()
    second = {"receipt": token, "outcomes": {"length": 7}, "moved": True}
    client.post("/outcomes", json={"items": [second]}).raise_for_status()
    told, untold = look(client, grace=0), look(client, grace=0, outcome="length")
    assert (total(told, "late"), total(untold, "missing"), total(untold, "late")) == (1, 1, 0)
    assert told["moved"] == 0


def test_an_outcome_of_the_same_batch_is_not_lost(client: httpx.Client, namespace: str) -> None:
    token = receipt("e", ago=2, namespace=namespace)
    items = [{"receipt": token, "outcomes": {"return": 3}}, {"receipt": token, "outcomes": {"revenue": 7}}]
    client.post("/outcomes", json={"items": items}).raise_for_status()
    assert total(look(client, grace=1, outcome="revenue"), "late") == 1


def test_a_start_without_a_report_is_missing_only_after_grace(client: httpx.Client, namespace: str) -> None:
    items = [{"receipt": receipt(f"e{ago}", ago=ago, namespace=namespace)} for ago in (10, 50, 70, 500)]
    client.post("/starts", json={"items": items}).raise_for_status()
    assert total(look(client), "missing") == 2


def test_moved_episodes_count_for_neither_side(client: httpx.Client, namespace: str) -> None:
    items = [outcome(receipt(f"e{i}", ago=100, namespace=namespace), moved=i < 2) for i in range(5)]
    client.post("/outcomes", json={"items": items}).raise_for_status()
    version = look(client, grace=90)
    assert version["moved"] == 2
    assert total(version, "missing") == 3  # reported 100 s after their start, grace is 90 s


def test_a_batch_keeps_what_is_good_in_it(client: httpx.Client, namespace: str) -> None:
    good = receipt("good", ago=1, namespace=namespace)
    later = receipt("later", ago=1, namespace=namespace, step=7)
    future = receipt("future", ago=-400, namespace=namespace)
    items = [
        outcome(good),
        outcome("v1.forged.forged"),
        outcome(receipt("elsewhere", ago=1, namespace="other")),
        {"receipt": good},
        {"receipt": good, "outcomes": {"return": "12"}},
        {"receipt": good, "outcomes": {"return": 1}, "epsiode": 3},
        outcome(later),
        outcome(future),
        {"receipt": good, "outcomes": {'no"name': 1}},
        outcome("\u20ac.\u20ac.\u20ac"),
        "not even an object",
        outcome(receipt("\ud800", ago=1, namespace=namespace)),
        {"receipt": good, "outcomes": {"return": 1}, "\ud800": 1},
    ]
    answer = client.post("/outcomes", content=json.dumps({"items": items}))
    assert answer.status_code == 200
    result = answer.json()
    assert result["accepted"] == 1
    refused = {entry["index"]: (entry["error"]["status"], entry["error"].get("field")) for entry in result["refused"]}
    assert refused == {
        1: (403, "items[1].receipt"),
        2: (403, "items[2].receipt"),
        3: (400, "items[3].outcomes"),
        4: (400, "items[4].outcomes.return"),
        5: (400, "items[5].epsiode"),
        6: (400, "items[6].receipt"),
        7: (400, "items[7].receipt"),
        8: (400, "items[8].outcomes"),
        9: (403, "items[9].receipt"),
        10: (400, "items[10]"),
        11: (400, "items[11].receipt"),
        12: (400, "items[12]"),
    }
    assert all(entry["error"]["message"] for entry in result["refused"])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_not_finite_is_refused_alone_and_counted(
    client: httpx.Client, logbook: Any, namespace: str, number: str
) -> None:
    def counted() -> float:
        lines = httpx.get(f"{logbook.url}/metrics").text.splitlines()
        name = 'belay_logbook_items_total{kind="outcome",result="not_finite"} '
        return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)

    before = counted()
    good, bad = (receipt(name, ago=1, namespace=namespace) for name in ("good", "bad"))
    body = json.dumps({"items": [outcome(good), outcome(bad, 12345.0)]}).replace("12345.0", number)
    result = client.post("/outcomes", content=body).json()
    assert result["accepted"] == 1
    assert [(entry["index"], entry["error"]["status"]) for entry in result["refused"]] == [(1, 400)]
    assert counted() == before + 1


@pytest.mark.parametrize(("success", "accepted"), [(0, 1), (1.0, 1), (0.5, 0), (2, 0), (-1, 0)])
def test_success_is_zero_or_one(client: httpx.Client, namespace: str, success: float, accepted: int) -> None:
    """One other number would take the metric from its rollout for good: what is recorded stands."""
    item = {"receipt": receipt("e", ago=1, namespace=namespace), "outcomes": {"return": 3, "success": success}}
    answer = client.post("/outcomes", json={"items": [item]}).raise_for_status().json()
    assert answer["accepted"] == accepted
    for refused in answer["refused"]:
        assert refused["error"]["field"] == "items[0].outcomes"
        assert "wanted 0 or 1" in refused["error"]["message"]


def test_only_forged_receipts_refuse_the_request(client: httpx.Client, namespace: str) -> None:
    theirs = receipt("e", ago=1, namespace="other")
    for path, item in (("/starts", {"receipt": theirs}), ("/outcomes", outcome(theirs))):
        answer = client.post(path, json={"items": [item, item]})
        assert answer.status_code == 403
        assert set(answer.json()) == {"error"}
    assert client.post("/outcomes", json={"items": []}).json() == {"accepted": 0, "refused": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{", None),
        ("[]", "items"),
        ('{"items": {}}', "items"),
        ('{"items": [], "more": 1}', "more"),
        ('{"items": [], "\\ud800": 1}', "\\ud800"),
        ('{"items": [' + ",".join(["{}"] * 10_001) + "]}", "items"),
        ("[" * 100_000, None),
    ],
)
def test_no_batch_at_all_is_one_400(client: httpx.Client, body: str, field: str | None) -> None:
    answer = client.post("/outcomes", content=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].get("field") == field


def test_a_body_beyond_the_limit_is_413(client: httpx.Client) -> None:
    body = b'{"items": []}' + b" " * (33 << 20)
    assert client.post("/outcomes", content=body).status_code == 413
    chunks = (b" " * (1 << 20) for _ in range(34))  # chunked: no length announced
    assert client.post("/outcomes", content=chunks).status_code == 413


def test_statistics_name_the_parameter_that_is_wrong(client: httpx.Client) -> None:
    for query, field in [
        ({"versions": ""}, "versions"),
        ({"window": "0"}, "window"),
        ({"window": "x"}, "window"),
        ({"grace": "nan"}, "grace"),
        ({"outcome": "re turn"}, "outcome"),
        ({"since": "yesterday"}, "since"),
        ({"since": "0001-01-01T00:00:00+01:00"}, "since"),
        ({"since": "9999-12-31T23:59:59-01:00"}, "since"),
        ({"gracee": "60"}, "gracee"),
        ({"rollout": ""}, "rollout"),
        ({"rollout": "Not A Name"}, "rollout"),
        ({"cuts": "2026-05-04T10:00:00Z,noon"}, "cuts"),
        ({"cuts": "2026-05-04T10:00:00Z," * 64 + "2026-05-04T10:00:00Z"}, "cuts"),
        ({"by": "client"}, "by"),
        ({"wait": "-1"}, "wait"),
    ]:
        answer = client.get("/statistics", params={"versions": "a", **query})
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


def test_an_episode_is_evidence_for_its_own_rollout(client: httpx.Client, namespace: str) -> None:
    """Two rollouts share a version, and their applications even the names of episodes."""
    for rollout, episodes in (("shop", 3), ("search", 2), (None, 1)):
        tokens = [receipt(f"e{i}", ago=100, namespace=namespace, rollout=rollout) for i in range(episodes)]
        client.post("/starts", json={"items": [{"receipt": token} for token in tokens]}).raise_for_status()
        answer = client.post("/outcomes", json={"items": [outcome(token) for token in tokens]})
        assert answer.json() == {"accepted": episodes, "refused": []}
    counted = {name: total(look(client, rollout=name), "missing") for name in ("shop", "search", "other")}
    assert counted == {"shop": 3, "search": 2, "other": 0}
    assert total(look(client), "missing") == 6


def test_a_user_counts_once_by_the_first_episode_of_the_trial(client: httpx.Client, namespace: str) -> None:
    """Whichever version served it, and whatever came before the trial or in another rollout."""

    def tell(*episodes: tuple[str, float, str, int | None, str]) -> None:
        items = [
            {
                "receipt": receipt(name, ago=ago, namespace=namespace, version=version, user=user, rollout=rollout),
                "outcomes": {"return": ago},
            }
            for name, ago, version, user, rollout in episodes
        ]
        client.post("/outcomes", json={"items": items}).raise_for_status()

    def counted(**query: Any) -> dict[str, tuple[int, int]]:
        trial = (datetime.now(UTC) - timedelta(seconds=1000)).isoformat()
        asked = {"versions": "candidate,stable", "rollout": "shop", "since": trial, "window": 86400, "grace": 60}
        found = client.get("/statistics", params={**asked, **query}).raise_for_status().json()["versions"]
        return {one["version"]: (total(one, "late"), total(one, "missing")) for one in found}

    tell(
        ("before", 2000, "stable", 7, "shop"),
        ("other", 900, "stable", 7, "search"),
        ("nobody", 850, "stable", None, "shop"),
    )
    tell(("b", 700, "candidate", 7, "shop"), ("c", 600, "candidate", 7, "shop"), ("d", 500, "stable", 8, "shop"))
    assert counted() == {"candidate": (2, 2), "stable": (2, 2)}
    assert counted(by="user") == {"candidate": (1, 1), "stable": (1, 1)}
    # One that was told late: she had begun on the other side, and that is where she counts.
    tell(("a", 800, "stable", 7, "shop"))
    assert counted(by="user") == {"candidate": (0, 0), "stable": (2, 2)}
    assert counted(by="user", since="1970-01-01T00:00:00Z") == {"candidate": (0, 0), "stable": (2, 2)}


def test_a_receipt_from_before_the_upgrade_is_taken_and_no_rollouts_evidence(
    client: httpx.Client, namespace: str
) -> None:
    at_ms = round((datetime.now(UTC) - timedelta(seconds=100)).timestamp() * 1000)
    payload = json.dumps([namespace, "candidate", "e", 0, at_ms]).encode()
    body = f"v1.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}"
    signature = hmac.digest(namespace_key(MASTER, namespace), body.encode(), "sha256")
    token = f"{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    assert client.post("/outcomes", json={"items": [outcome(token)]}).json() == {"accepted": 1, "refused": []}
    assert (total(look(client), "missing"), total(look(client, rollout="shop"), "missing")) == (1, 0)


def test_no_window_spans_a_cut(client: httpx.Client, namespace: str) -> None:
    tokens = [receipt(f"e{ago}", ago=ago, namespace=namespace) for ago in (300, 200, 100)]
    client.post("/starts", json={"items": [{"receipt": token} for token in tokens]}).raise_for_status()
    cuts = [(datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="milliseconds") for ago in (150, 250)]
    windows = look(client, cuts=",".join(cuts), window=86400 * 366)["windows"]
    assert [window["missing"] for window in windows] == [1, 1, 1]
    starts = [datetime.fromisoformat(window["start"]) for window in windows[1:]]
    assert starts == sorted(datetime.fromisoformat(cut) for cut in cuts)


def test_custom_outcomes_and_namespaces_stay_apart(client: httpx.Client, logbook: Any, namespace: str) -> None:
    token = receipt("e", ago=1, namespace=namespace)
    item = {"receipt": token, "outcomes": {"lap.time-s": 12.5, "return": 1}}
    client.post("/outcomes", json={"items": [item]}).raise_for_status()
    for name, late in (("lap.time-s", 1), ("lap.time", 0)):
        version = look(client, grace=0, outcome=name)
        assert (total(version, "missing"), total(version, "late")) == (1, late)
    with logbook.client("other") as other:
        assert look(other)["windows"] == []
