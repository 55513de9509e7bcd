"""A waiting caller is woken by the row, by the clock where that changes the numbers, and by the end of the process."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from tests.unit.logbook.support import Process, receipt

from belay_api.wire import RunProgress
from belay_logbook import look, progress
from belay_logbook.db import READERS, Database
from belay_logbook.longpoll import Feed
from belay_logbook.schema import migrate
from belay_logbook.statistics import Answer

WAIT_S = 25  # what the callers below are ready to wait; an answer much earlier came for a reason


class Later:
    """A request on a thread of its own."""

    def __init__(self, ask: Callable[[], httpx.Response]) -> None:
        self._answer: httpx.Response | None = None
        self.after = 0.0
        began = time.monotonic()

        def run() -> None:
            self._answer = ask()
            self.after = time.monotonic() - began

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def answer(self) -> Any:
        self._thread.join(WAIT_S + 10)
        assert self._answer is not None
        return self._answer.raise_for_status().json()

    @property
    def waiting(self) -> bool:
        return self._thread.is_alive()


def until_waiting(process: Process, callers: int) -> None:
    deadline = time.monotonic() + 10
    while f"belay_logbook_waiting {callers}.0" not in httpx.get(f"{process.url}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_row_wakes_who_waits_for_its_namespace_and_nobody_else(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    try:
        query: dict[str, Any] = {"versions": "candidate", "grace": 5, "wait": WAIT_S}

        def ask(namespace: str) -> Later:
            with process.client(namespace) as client:
                etag = client.get("/statistics", params={"versions": "candidate", "grace": 5}).json()["etag"]

            def run() -> httpx.Response:
                with process.client(namespace) as mine:
                    return mine.get("/statistics", params=query | {"etag": etag})

            return Later(run)

        here, elsewhere = ask("here"), ask("elsewhere")
        until_waiting(process, 2)
        with process.client("here") as client:
            items = [{"receipt": receipt("e", ago=10, namespace="here"), "outcomes": {"return": 1}}]
            client.post("/outcomes", json={"items": items}).raise_for_status()
        assert here.answer()["versions"][0]["windows"][0]["missing"] == 1
        assert here.after < WAIT_S / 2
        assert elsewhere.waiting
        until_waiting(process, 1)
        # The end of the process releases the other one with the numbers as they are.
        assert process.stop() == 0
        assert elsewhere.answer()["versions"][0]["windows"] == []
        assert elsewhere.after < WAIT_S
    finally:
        process.stop()


def test_passing_grace_is_news_without_a_row(client: httpx.Client, namespace: str) -> None:
    silent, told = (receipt(name, ago=0, namespace=namespace) for name in ("silent", "told"))
    client.post("/starts", json={"items": [{"receipt": silent}, {"receipt": told}]}).raise_for_status()
    client.post("/outcomes", json={"items": [{"receipt": told, "outcomes": {"return": 7}}]}).raise_for_status()
    query: dict[str, Any] = {"versions": "candidate", "grace": 4, "window": 86400}
    look = client.get("/statistics", params=query).json()
    assert look["versions"][0]["windows"] == []
    began = time.monotonic()
    windows: list[dict[str, Any]] = []
    while sum(window["count"] + window["missing"] for window in windows) < 2:
        look = client.get("/statistics", params=query | {"etag": look["etag"], "wait": WAIT_S}).json()
        windows = look["versions"][0]["windows"]
        assert time.monotonic() - began < WAIT_S / 2
    assert sum(window["missing"] for window in windows) == 1
    assert [window["mean"] for window in windows if window["count"]] == [7]


def test_without_news_the_same_numbers_come_back_when_the_wait_is_over(client: httpx.Client) -> None:
    query: dict[str, Any] = {"versions": "a"}
    etag = client.get("/statistics", params=query).json()["etag"]
    assert client.get("/statistics", params=query | {"etag": etag, "wait": 0.3}).json()["etag"] == etag


def test_a_heartbeat_nobody_could_read_again_is_refused_alone(client: httpx.Client, logbook: Process) -> None:
    run = {"job": "j", "uid": "u", "index": 0, "seed": 0, "total": 100, "step": 1}
    nan = {"metrics": {"loss": float("nan")}}  # with one of these in it, the body is read the lenient way
    for wrong in ({"step": 1 << 63}, {"total": 1 << 70}, {"uid": "\ud800"}, {"metrics": {"\ud800": 1.0}}):
        items = [run | nan, run | wrong, run]
        answer = client.post("/progress", content=json.dumps({"items": items}))
        assert answer.status_code == 200, answer.text
        assert [it["index"] for it in answer.json()["refused"]] == [0, 1]
        assert answer.json()["refused"][1]["error"]["field"] == f"items[1].{next(iter(wrong))}"
        assert httpx.get(f"{logbook.url}/v1/progress").status_code == 200


def test_a_long_history_of_runs_is_told_in_pages(tmp_path: Path) -> None:
    """Runs are kept for good; all of them in one answer would one day be more than the process may hold."""
    with sqlite3.connect(tmp_path / "db") as connection, patch.object(progress, "MAX_PAGE", 2):
        migrate(connection)
        beats = [RunProgress(job="j", uid="u", index=index, seed=0, step=1, total=9) for index in range(5)]
        progress.record_progress(connection, "ns", beats, 0)
        told: list[list[int]] = []
        cursor = ""
        while not told or told[-1]:
            page = progress.read_progress(connection, "id", cursor)
            told.append([item.index for item in page.items])
            cursor = page.cursor
        assert told == [[0, 1], [2, 3], [4], []]


def test_progress_tells_each_run_once_and_waits_for_the_next(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    try:
        with process.client("here") as here, process.client() as operator:

            def beat(step: int, **more: Any) -> None:
                run = {"job": "j", "uid": "u", "index": 0, "seed": 0, "total": 100, "step": step} | more
                here.post("/progress", json={"items": [run]}).raise_for_status()

            def read(**query: Any) -> tuple[list[int], str]:
                page = operator.get("/v1/progress", params=query).json()
                assert all(item["namespace"] == "here" and item["at"] for item in page["items"])
                return [item["step"] for item in page["items"]], page["cursor"]

            assert read()[0] == []
            beat(10)
            beat(20)
            steps, cursor = read()
            assert steps == [20]
            beat(20)
            beat(15)  # older than what is known: changes nothing
            assert read(since=cursor) == ([], cursor)
            beat(12, resumedFrom=12)  # killed, and back at its checkpoint: said at once, not once it has caught up
            steps, cursor = read(since=cursor)
            assert steps == [12]
            beat(11, resumedFrom=12)
            assert read(since=cursor) == ([], cursor)
            beat(5, attempt=2)  # a new attempt begins anew
            steps, cursor = read(since=cursor)
            assert steps == [5]

            def wait() -> httpx.Response:
                with process.client() as mine:
                    return mine.get("/v1/progress", params={"since": cursor, "wait": WAIT_S})

            later = Later(wait)
            until_waiting(process, 1)
            beat(6, attempt=2, metrics={"loss": 0.5}, bestReturn=3)
            assert [item["metrics"] for item in later.answer()["items"]] == [{"loss": 0.5}]
            assert later.after < WAIT_S / 2
            # A cursor of another database: its volume was lost, so everything is told again.
            assert read(since="0123456789abcdef:999")[0] == [6]
            refused = here.post("/progress", json={"items": [{"job": "j"}]}).json()
            assert refused["refused"][0]["error"]["field"] == "items[0].uid"
            assert read(since=cursor.split(":")[0] + ":" + "9" * 30)[0] == [6]  # no number of ours
    finally:
        process.stop()


@pytest.mark.asyncio
async def test_looks_that_count_millions_leave_readers_to_everybody_else(tmp_path: Path) -> None:
    """Readiness and the store read as well: a logbook that is only busy must not be taken out of its Service."""
    database, go_on = Database(tmp_path / "db"), threading.Event()

    def slow(*_: Any) -> Answer:
        go_on.wait(60)
        return Answer(b"", "etag", None, ())

    with patch.object(look, "compute", slow):
        looks, asked = look.Looks(database, Feed()), look.parse_look("ns", {"versions": "a"})
        waiting = [asyncio.create_task(looks.take(asked, etag=None, wait=timedelta(0))) for _ in range(2 * READERS)]
        await asyncio.sleep(0.1)
        assert await asyncio.wait_for(database.read(lambda c: c.execute("SELECT 1").fetchone()), 20) == (1,)
        go_on.set()
        await asyncio.gather(*waiting)
    database.close()


@pytest.mark.asyncio
async def test_the_end_of_the_process_ends_a_rest_as_well() -> None:
    """A look that took seconds is followed by a rest of four times as long, which nobody could wait for at the end."""
    feed = Feed()
    feed.start()
    resting = asyncio.create_task(feed.rest(60))
    await asyncio.sleep(0)
    feed.close()
    await asyncio.wait_for(resting, 20)
