"""Both sides' decisions about one request are joined by its id: what differs, what cannot be told."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from tests.unit.logbook.support import MASTER, Process

from belay_api.names import SEAL_HEADER
from belay_api.receipts import namespace_key
from belay_api.shadowing import depth_of, seal
from belay_api.wire import ShadowDecision, ShadowReport
from belay_logbook import shadows
from belay_logbook.schema import migrate
from belay_logbook.shadows import KEPT_MS, SETTLED_MS, ShadowQuestion, read_report, record_decisions

ASKED = ShadowQuestion("shop", "1f", "new", "old")
NOW = 1_000_000_000


def decision(version: str, request: str | None, choice: str | None = "1", **more: Any) -> dict[str, Any]:
    return {
        "rollout": "shop",
        "step": "1f",
        "candidate": "new",
        "version": version,
        "request": request,
        "seconds": 0.002,
        "status": 200,
        "episode": "e",
        "space": "s",
        **({"choice": choice} if choice is not None else {}),
        **more,
    }


def numbers(version: str, request: str, *values: float, ranged: bool = True, **more: Any) -> dict[str, Any]:
    return decision(version, request, None, numbers=list(values), ranged=ranged, **more)


@pytest.fixture
def connection(tmp_path) -> Iterator[sqlite3.Connection]:
    found = sqlite3.connect(tmp_path / "db", isolation_level=None)
    migrate(found)
    yield found
    found.close()


def record(connection: sqlite3.Connection, *said: dict[str, Any], at: int = NOW, namespace: str = "a") -> None:
    record_decisions(connection, namespace, [ShadowDecision.model_validate(one) for one in said], at)


def report(connection: sqlite3.Connection, at: int = NOW + SETTLED_MS, namespace: str = "a") -> ShadowReport:
    return read_report(connection, namespace, ASKED, at)


def test_pairs_are_joined_by_request_whoever_tells_first(connection: sqlite3.Connection) -> None:
    record(connection, decision("new", "a", "0"), decision("old", "b"))
    record(connection, decision("old", "a", "1"), decision("new", "b"), decision("old", "c"))

    found = report(connection)

    assert (found.pairs, found.difference, found.scale) == (2, 0.5, "choice")
    assert (found.asked, found.answered) == (3, 2)
    assert [(one.stable, one.candidate, one.pairs) for one in found.cells] == [("1", "0", 1), ("1", "1", 1)]
    assert (found.stable.told, found.candidate.told) == (3, 2)


def test_what_is_told_again_changes_nothing(connection: sqlite3.Connection) -> None:
    record(connection, decision("old", "a", "1"), decision("new", "a", "1"))
    before = report(connection)
    record(connection, decision("new", "a", "0"), decision("old", "a", "1"))
    assert report(connection) == before


@pytest.mark.parametrize(
    "other", [{"rollout": "other"}, {"step": "20"}, {"candidate": "newer"}, {"version": "third"}, {"item": 3}]
)
def test_what_is_told_of_something_else_makes_no_pair(connection: sqlite3.Connection, other: dict[str, Any]) -> None:
    record(connection, decision("old", "a"), decision("new", "a") | other)
    assert report(connection).pairs == 0


def test_another_namespace_knows_nothing_of_it(connection: sqlite3.Connection) -> None:
    record(connection, decision("old", "a"), decision("new", "a"), namespace="b")
    assert (report(connection).pairs, report(connection, namespace="b").pairs) == (0, 1)


def test_the_episode_is_the_unit(connection: sqlite3.Connection) -> None:
    """A long episode in which all differs weighs no more than a short one in which nothing does."""
    for index in range(9):
        record(
            connection, decision("old", f"l{index}", episode="long"), decision("new", f"l{index}", "0", episode="long")
        )
    record(connection, decision("old", "s", episode="short"), decision("new", "s", episode="short"))
    found = report(connection)
    assert (found.pairs, found.difference) == (10, 0.5)
    assert [(one.difference, one.count) for one in found.episodes] == [(0.0, 1), (1.0, 1)]


def test_pairs_without_an_episode_are_one_a_minute(connection: sqlite3.Connection) -> None:
    for index in range(6):
        both = (decision(version, f"r{index}", episode=None) for version in ("old", "new"))
        record(connection, *both, at=NOW + index * 30_000)
    assert sum(one.count for one in report(connection).episodes) == 4


def test_a_candidate_that_fails_where_stable_acts_differs_in_full(connection: sqlite3.Connection) -> None:
    record(connection, decision("old", "a"), decision("new", "a", None, status=500, notCompared="Sampled"))
    record(connection, decision("old", "b", None, status=400), decision("new", "b", None, status=400))
    record(connection, decision("old", "c", None, status=500), decision("new", "c"))
    found = report(connection)
    assert (found.pairs, found.difference) == (1, 1.0)
    assert (found.stable.failed, found.candidate.failed) == (2, 2)
    assert [(one.stable, one.candidate) for one in found.cells] == [("1", "error")]


def test_what_cannot_be_compared_is_counted_by_why(connection: sqlite3.Connection) -> None:
    record(connection, decision("old", "a", notCompared="Sampled"), decision("new", "a"))
    record(connection, decision("old", "b"), decision("new", "b", notCompared="State"))
    record(connection, decision("old", "c"), decision("new", "c", space="other"))
    found = report(connection)
    assert (found.pairs, found.difference, found.scale) == (0, None, None)
    assert {str(why): count for why, count in found.not_compared.items()} == {"Sampled": 1, "State": 1, "Space": 1}


def test_numbers_differ_by_their_share_of_the_range(connection: sqlite3.Connection) -> None:
    record(connection, numbers("old", "a", 0.5, 0.25), numbers("new", "a", 0.75, 0.25))
    found = report(connection)
    assert (found.scale, found.difference, found.cells) == ("range", 0.125, [])


def test_numbers_without_a_range_differ_by_stables_deviation(connection: sqlite3.Connection) -> None:
    """Stable's are -1 and 1, so one standard deviation is 1; from five on a difference counts as five."""
    for request, ours, theirs in (("a", -1.0, 0.0), ("b", 1.0, 100.0)):
        record(connection, numbers("old", request, ours, ranged=False, episode=request))
        record(connection, numbers("new", request, theirs, ranged=False, episode=request))
    found = report(connection)
    assert (found.scale, [one.difference for one in found.episodes]) == ("std", [0.2, 1.0])


def test_latencies_are_those_of_both_sides_of_the_same_requests(connection: sqlite3.Connection) -> None:
    for index in range(100):
        record(
            connection,
            decision("old", f"r{index}", seconds=0.001 * (index + 1)),
            decision("new", f"r{index}", seconds=1),
        )
    record(connection, decision("old", "alone", seconds=60))
    found = report(connection)
    assert (found.stable.p50, found.stable.p99, found.candidate.p99) == (0.05, 0.099, 1.0)


def test_nothing_is_missing_before_it_could_have_been_told(connection: sqlite3.Connection) -> None:
    record(connection, decision("old", "a"))
    assert report(connection, at=NOW + SETTLED_MS - 1).asked == 0
    found = report(connection)
    assert (found.asked, found.answered) == (1, 0)


def test_what_a_busy_side_does_not_tell_of_is_not_missing(connection: sqlite3.Connection) -> None:
    requests = [f"r-{index}" for index in range(200)]
    told = [name for name in requests if depth_of(name.encode()) >= 2]
    record(connection, *(decision("old", name) for name in requests))
    record(connection, *(decision("new", name, depth=2) for name in told))
    found = report(connection)
    assert len(told) < 100
    assert (found.asked, found.answered, found.pairs) == (len(told), len(told), len(told))


def test_a_busy_step_keeps_the_same_part_of_both_sides(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MOST", 100)
    for version in ("old", "new"):
        for index in range(400):
            record(connection, decision(version, f"r-{index}", "1" if version == "old" or index % 2 else "0"))
    found = report(connection)
    assert found.pairs == found.asked == found.answered > 20
    assert found.stable.told + found.candidate.told <= 100
    assert found.difference == pytest.approx(0.5, abs=0.3)


def test_requests_without_an_id_are_counted(connection: sqlite3.Connection) -> None:
    record(connection, decision("old", None), decision("new", None))
    assert (report(connection).unnamed, report(connection).pairs) == (2, 0)


def test_a_step_is_forgotten_a_day_after_its_last_decision(connection: sqlite3.Connection) -> None:
    record(connection, decision("old", "a"), decision("new", "a"))
    record(connection, decision("old", "b", rollout="other"), at=NOW + KEPT_MS)
    assert report(connection).pairs == 1
    record(connection, decision("old", "b", rollout="other"), at=NOW + KEPT_MS + 1)
    assert report(connection).pairs == 0
    assert connection.execute("SELECT COUNT(*) FROM shadow_decision WHERE version = 'new'").fetchone() == (0,)


# --- by HTTP ----------------------------------------------------------------------------------------------------------
QUERY = {"rollout": "shop", "step": "1f", "candidate": "new", "stable": "old"}


def send(client: httpx.Client, namespace: str, items: list[Any], *, key_of: str | None = None) -> httpx.Response:
    body = orjson.dumps({"items": items})
    key = namespace_key(MASTER, key_of or namespace)
    return client.post("/shadows", content=body, headers={SEAL_HEADER: seal(body, key)})


def test_what_serving_pods_tell_is_reported(client: httpx.Client, namespace: str) -> None:
    items = [decision("old", "a"), decision("new", "a", "0", notCompared=None), {"rollout": 3}]
    answer = send(client, namespace, items).json()
    assert (answer["accepted"], [one["index"] for one in answer["refused"]]) == (2, [2])
    found = ShadowReport.model_validate(client.get("/shadows", params=QUERY).json())
    assert (found.pairs, found.difference) == (1, 1.0)


def test_nobody_else_can_tell_of_decisions(client: httpx.Client, namespace: str) -> None:
    answer = send(client, namespace, [decision("old", "a")], key_of="another-namespace")
    assert (answer.status_code, "no serving pod" in answer.json()["error"]["message"]) == (403, True)
    assert client.post("/shadows", json={"items": []}).status_code == 403


@pytest.mark.parametrize("wrong", [{"step": ""}, {"step": "A"}, {"more": "x"}, {"stable": "x" * 300}])
def test_a_question_that_is_none_is_refused_by_name(client: httpx.Client, wrong: dict[str, str]) -> None:
    answer = client.get("/shadows", params=QUERY | wrong)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, next(iter(wrong)))


def test_a_step_outlives_the_process(tmp_path) -> None:
    process = Process(tmp_path).start()
    with process.client("a") as client:
        send(client, "a", [decision("old", "a"), decision("new", "a")])
    process.kill()
    process.start()
    with process.client("a") as client:
        assert client.get("/shadows", params=QUERY).json()["pairs"] == 1
    process.stop()
