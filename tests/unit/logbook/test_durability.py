"""What was answered survives kill -9; what was not answered is told apart by sending it again."""

import hashlib
import itertools
import random
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.logbook.support import Process, receipt

CLIENTS = 4
BATCH = 20


def test_every_answered_outcome_survives_kill_9(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    answered = [0] * CLIENTS

    def send(number: int) -> None:
        with process.client("ns") as client:
            for batch in itertools.count():
                items = [
                    {"receipt": receipt(f"{number}-{batch}-{i}", ago=9, namespace="ns"), "outcomes": {"return": 1}}
                    for i in range(BATCH)
                ]
                try:
                    answer = client.post("/outcomes", json={"items": items})
                except httpx.TransportError:
                    return
                assert answer.json()["accepted"] == BATCH
                answered[number] += BATCH

    threads = [threading.Thread(target=send, args=[number]) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while sum(answered) < 2000:
        time.sleep(0.01)
    process.kill()
    for thread in threads:
        thread.join()

    process.start()
    with process.client("ns") as client:
        answer = client.get("/statistics", params={"versions": "candidate", "grace": 5, "window": 86400}).json()
    found = sum(window["missing"] + window["count"] for window in answer["versions"][0]["windows"])
    # Each client may have had one more batch committed whose answer was lost with the process.
    assert sum(answered) <= found <= sum(answered) + CLIENTS * BATCH
    assert process.stop() == 0


def test_an_upload_goes_on_where_kill_9_left_it(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(5_000_000)
    name = hashlib.sha256(data).hexdigest()
    process = Process(tmp_path).start()
    killed = threading.Event()

    def half() -> Any:
        yield data[:3_000_000]
        while reached() < 2_000_000:
            time.sleep(0.02)
        process.kill()
        killed.set()
        yield data[3_000_000:]

    def reached() -> int:
        with process.client("ns") as other:
            answer = other.head(f"/blobs/{name}")
            return int(answer.headers["Upload-Offset"]) if answer.status_code == 200 else 0

    headers = {"Upload-Offset": "0", "Upload-Length": str(len(data))}
    with process.client("ns") as client, pytest.raises(httpx.TransportError):
        client.patch(f"/blobs/{name}", content=half(), headers=headers)
    assert killed.is_set()

    process.start()
    with process.client("ns") as client:
        offset = reached()
        assert 2_000_000 <= offset < len(data)
        assert client.get(f"/blobs/{name}").status_code == 404
        answer = client.patch(f"/blobs/{name}", content=data[offset:], headers={"Upload-Offset": str(offset)})
        assert answer.status_code == 201
        assert client.get(f"/blobs/{name}").content == data
    process.kill()
    process.start()
    with process.client("ns") as client:
        assert client.get(f"/blobs/{name}").content == data
    process.stop()


def test_files_that_nobody_owns_are_swept_at_the_start(tmp_path: Path) -> None:
    process = Process(tmp_path)
    orphan = tmp_path / "data" / "blobs" / "ab" / ("ab" * 32)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"published, and killed before it was granted")
    process.start()
    assert not orphan.exists()
    process.stop()


def test_what_a_look_counted_is_kept_and_found_again_after_kill_9(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    query = {"versions": "candidate", "grace": 5, "window": 60}

    def kept() -> int:
        with sqlite3.connect(tmp_path / "data" / "logbook.db") as connection:
            return int(connection.execute("SELECT COUNT(*) FROM sealed_window").fetchone()[0])

    def send(path: str, *names: str) -> None:
        tokens = [receipt(name, ago=1000, namespace="ns") for name in names]
        items = [{"receipt": token} | ({"outcomes": {"return": 1}} if path == "/outcomes" else {}) for token in tokens]
        with process.client("ns") as client:
            client.post(path, json={"items": items}).raise_for_status()

    def look() -> dict[str, Any]:
        with process.client("ns") as client:
            answer: dict[str, Any] = client.get("/statistics", params=query).raise_for_status().json()
            return answer

    send("/outcomes", *(f"e{number}" for number in range(20)))
    before = look()
    deadline = time.monotonic() + 10
    while not kept():
        assert time.monotonic() < deadline, "what the look counted is not kept"
        time.sleep(0.02)
    process.kill()
    process.start()
    assert kept() >= 1
    after = look()
    assert (after["etag"], after["versions"]) == (before["etag"], before["versions"])
    send("/starts", "nobody told of it")
    assert look()["versions"][0]["windows"] != before["versions"][0]["windows"]
    process.stop()
