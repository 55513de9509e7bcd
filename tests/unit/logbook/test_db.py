"""The writer: groups, failures that stay alone, and the horizon."""

import asyncio
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import orjson
import pytest

from belay_api.receipts import Receipt
from belay_logbook import statistics
from belay_logbook.db import Database
from belay_logbook.episodes import Report, record_outcomes, record_starts
from belay_logbook.errors import Unavailable, Unprocessable
from belay_logbook.schema import STEPS, NewerDatabase
from belay_logbook.sealed import CHAPTER, keep
from belay_logbook.statistics import Look, compute
from belay_logbook.tally import tally


def insert(key: str):
    return lambda connection, _: connection.execute("INSERT INTO meta VALUES (?, '')", [key])


async def keys(database: Database) -> set[str]:
    return await database.read(lambda c: {row[0] for row in c.execute("SELECT key FROM meta")})


@pytest.mark.asyncio
async def test_a_failing_request_takes_none_of_its_neighbours_with_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")

    def refuse(connection: sqlite3.Connection, _: int) -> None:
        connection.execute("INSERT INTO meta VALUES ('half', '')")
        raise Unprocessable("no")

    def defect(connection: sqlite3.Connection, _: int) -> None:
        raise KeyError("oops")

    gate = threading.Event()
    blocked = asyncio.ensure_future(database.write(lambda *_: gate.wait(10)))  # so that the others form one group
    await asyncio.sleep(0)
    works = [insert("a"), refuse, insert("a"), insert("b"), defect]
    waiting = [asyncio.ensure_future(database.write(work)) for work in works]
    await asyncio.sleep(0)
    gate.set()
    await blocked
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [
        sqlite3.Cursor,
        Unprocessable,
        Unavailable,
        sqlite3.Cursor,
        KeyError,
    ]
    assert await keys(database) == {"id", "a", "b"}
    assert database.alive
    database.close()


@pytest.mark.asyncio
async def test_the_horizon_stands_still_before_the_oldest_arrival_that_is_not_committed(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    gate, running = threading.Event(), threading.Event()
    arrived: list[int] = []

    def slow(_: sqlite3.Connection, arrived_ms: int) -> None:
        arrived.append(arrived_ms)
        running.set()
        gate.wait(10)

    before = database.horizon_ms()
    waiting = asyncio.ensure_future(database.write(slow))
    await asyncio.to_thread(running.wait)
    await asyncio.sleep(0.05)
    assert before <= database.horizon_ms() == arrived[0] - 1
    gate.set()
    await waiting
    assert database.horizon_ms() > arrived[0]
    database.close()


@pytest.mark.asyncio
async def test_what_was_submitted_before_the_end_is_kept_and_nothing_after(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    waiting = [asyncio.ensure_future(database.write(insert(str(number)))) for number in range(500)]
    await asyncio.sleep(0)
    await asyncio.to_thread(database.close)
    await asyncio.gather(*waiting)
    with pytest.raises(Unavailable):
        await database.write(insert("late"))
    again = Database(tmp_path / "db")
    assert len(await keys(again)) == 501
    again.close()


def test_the_database_of_an_older_logbook_is_brought_along(tmp_path: Path) -> None:
    """What the first layout held is there after the upgrade, and what was added since works on it."""
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.executescript(STEPS[0] + "PRAGMA user_version = 1;")
        connection.execute("INSERT INTO meta VALUES ('id', 'kept')")
        connection.execute("INSERT INTO version VALUES (1, 'ns', 'a')")
        connection.execute("INSERT INTO episode (version, started_ms, name) VALUES (1, 5000, 'e')")
    connection.close()
    for _ in range(2):  # the second time there is nothing left to do
        database = Database(tmp_path / "db")
        assert database.id == "kept"
        database.close()
    with sqlite3.connect(tmp_path / "db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
        report = Report(Receipt("ns", "a", "e", 0, datetime.fromtimestamp(5, UTC)), {"return": 2.0}, False)
        record_outcomes(connection, [report], 5001)
        look = Look("ns", ("a",), "return", timedelta(seconds=1), timedelta(seconds=1), datetime.fromtimestamp(0, UTC))
        answer = compute(connection, look, 60_000)
        for question, seal in answer.seals:
            keep(connection, question, [seal])
        assert compute(connection, look, 60_000).body == answer.body
        assert b'"mean":2.0' in answer.body
    connection.close()


def test_what_an_older_logbook_kept_belongs_to_no_rollout_and_is_not_counted_again(tmp_path: Path) -> None:
    """Layout 2, filled and looked at by its own statements: windows and pieces are kept."""
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.executescript(STEPS[0] + STEPS[1] + "PRAGMA user_version = 2;")
        connection.execute("INSERT INTO version VALUES (7, 'ns', 'a')")
        rows = [(7, number, f"e{number}", number + 1, number / 7) for number in range(100)]
        connection.executemany(
            'INSERT INTO episode (version, started_ms, name, reported_ms, "return") VALUES (?, ?, ?, ?, ?)', rows
        )
        connection.execute("INSERT INTO question VALUES (3, 7, 'return', 3200, 1000, 100, 3200)")
        kept = tally([(start, 1, 0, None, value) for _, start, _, _, value in rows], 1000)
        connection.execute("INSERT INTO sealed_piece VALUES (3, 0, ?)", [kept.to_text()])
        connection.execute("INSERT INTO sealed_window VALUES (3, 0, ?, 0, 1)", [b"{}"])
    connection.close()
    database = Database(tmp_path / "db")
    database.close()
    with sqlite3.connect(tmp_path / "db") as connection:
        since = datetime.fromtimestamp(0, UTC)
        look = Look("ns", ("a",), "return", timedelta(seconds=3.2), timedelta(seconds=1), since)
        with patch.object(statistics, "tally", wraps=statistics.tally) as counted:
            [window] = orjson.loads(compute(connection, look, 60_000).body)["versions"][0]["windows"]
        assert counted.call_count == 0, "the pieces are still good"
        assert window["count"] == 100
        ours = replace(look, rollout="cartpole")
        assert orjson.loads(compute(connection, ours, 60_000).body)["versions"][0]["windows"] == []
        assert connection.execute("SELECT chapter_ms FROM question").fetchall() == [(CHAPTER * 3200,)]
        record_starts(connection, [Receipt("ns", "a", "late", 0, datetime.fromtimestamp(0.05, UTC))])
        [window] = orjson.loads(compute(connection, look, 60_000).body)["versions"][0]["windows"]
        assert (window["count"], window["missing"]) == (100, 1), "a late arrival still opens what holds it"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_the_database_of_a_newer_logbook_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(NewerDatabase):
        Database(tmp_path / "db")
