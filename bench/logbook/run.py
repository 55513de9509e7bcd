"""How many outcomes one core takes durably, how long a look takes, and how soon a row wakes who waits for it.

    make bench-logbook                 # looks at 10 million episodes; the set-up takes a minute
    make bench-logbook ARGS=--quick    # looks at 1 million, and writes no results

Starts a real logbook process on a loopback port. Rates are per second of the server's own CPU time, so that the load
generator, which shares the machine, does not count; wall-clock rates stand beside them. Writes results.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml

from ranges import check

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.unit.logbook.support import MASTER, Process

from belay_api.receipts import Receipt, namespace_key, sign
from belay_logbook.schema import migrate

HERE = Path(__file__).parent
NAMESPACE = "bench"
KEY = namespace_key(MASTER, NAMESPACE)
VERSIONS = ("stable", "candidate")
ROLLOUT = "cartpole"


def bodies(prefix: str, requests: int, batch: int) -> list[bytes]:
    """Signed requests, made beforehand: signing is the serving pods' work."""
    now = datetime.now(UTC)
    made = []
    for request in range(requests):
        items = []
        for item in range(batch):
            token = sign(Receipt(NAMESPACE, VERSIONS[item % 2], f"{prefix}-{request}-{item}", 0, now, ROLLOUT), KEY)
            items.append({"receipt": token, "outcomes": {"return": 431.5, "length": 432, "violations": 0}})
        made.append(orjson.dumps({"items": items}))
    return made


@contextmanager
def logbook(folder: Path) -> Iterator[tuple[Process, int]]:
    process = Process(folder).start()
    assert process._process is not None
    try:
        yield process, process._process.pid
    finally:
        process.stop()


def cpu_s(pid: int) -> float:
    """CPU time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Memory of a process without the pages of mapped files."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024


async def send(process: Process, prepared: list[bytes], connections: int) -> list[float]:
    """Post every body over `connections` and return the latency of each in seconds."""
    waiting = iter(prepared)
    took: list[float] = []

    async def one(client: httpx.AsyncClient) -> None:
        for body in waiting:
            began = time.perf_counter()
            answer = await client.post(f"{process.url}/v1/namespaces/{NAMESPACE}/outcomes", content=body)
            took.append(time.perf_counter() - began)
            assert answer.json()["refused"] == [], answer.text

    async with httpx.AsyncClient(timeout=60) as client:
        await asyncio.gather(*(one(client) for _ in range(connections)))
    return took


def measure_ingest(folder: Path, load: dict[str, Any], prefix: str, batch: int) -> dict[str, float]:
    prepared = bodies(prefix, load["requests"], batch)
    with logbook(folder) as (process, pid):
        asyncio.run(send(process, bodies(f"{prefix}-warm", 5, batch), 1))
        cpu, wall = cpu_s(pid), time.perf_counter()
        took = asyncio.run(send(process, prepared, load["connections"]))
        cpu, wall = cpu_s(pid) - cpu, time.perf_counter() - wall
    count = load["requests"] * batch
    return {
        f"{prefix}.per_cpu_s": count / cpu,
        f"{prefix}.per_wall_s": count / wall,
        f"{prefix}.request_ms_p50": statistics.median(took) * 1000,
    }


_FILL = """
WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < :each - 1)
INSERT INTO episode (version, started_ms, name, reported_ms, "return", length, violations)
SELECT :version, :first + n * :span / :each, printf('e%09d', n), :first + n * :span / :each + 9000,
       400.1 + n % 97, 432, 0 FROM number"""


def fill(folder: Path, load: dict[str, Any], now: datetime) -> None:
    """Write a day of episodes, reported 9 s after their start; in SQL, because 10 million receipts take minutes."""
    (folder / "data").mkdir(parents=True)
    connection = sqlite3.connect(folder / "data" / "logbook.db", isolation_level=None)
    for pragma in ("journal_mode = WAL", "cache_size = -200000"):
        connection.execute(f"PRAGMA {pragma}")
    migrate(connection)
    span_ms = load["span_s"] * 1000
    values = {"each": load["episodes"] // 2, "span": span_ms, "first": int(now.timestamp() * 1000) - span_ms}
    connection.execute("BEGIN")
    for number, name in enumerate(VERSIONS, start=1):
        connection.execute("INSERT INTO version VALUES (?, ?, ?, ?)", (number, NAMESPACE, name, ROLLOUT))
        connection.execute(_FILL, values | {"version": number})
    connection.execute("COMMIT")
    connection.close()


class Looker:
    """Looks at a filled database, and what they cost the server."""

    def __init__(self, process: Process, pid: int, load: dict[str, Any], now: datetime) -> None:
        self._process, self._pid, self._load, self._now = process, pid, load, now

    def look(self, client: httpx.Client, shift_s: float = 0) -> float:
        """Return how long one look took in ms."""
        since = self._now - timedelta(seconds=self._load["span_s"] - shift_s)
        query = {"versions": ",".join(VERSIONS), "window": self._load["window_s"], "grace": self._load["grace_s"]}
        query["rollout"] = ROLLOUT
        began = time.perf_counter()
        answer = client.get("/statistics", params=query | {"since": since.isoformat()}).raise_for_status()
        took = time.perf_counter() - began
        counted = sum(window["count"] for version in answer.json()["versions"] for window in version["windows"])
        assert counted > 0.98 * self._load["episodes"], counted
        return took * 1000

    def first(self, name: str) -> dict[str, float]:
        """Measure one look."""
        with self._process.client(NAMESPACE) as client:
            client.timeout = 300
            cpu = cpu_s(self._pid)
            took = self.look(client)
            return {f"{name}_ms": took, f"{name}_cpu_ms": (cpu_s(self._pid) - cpu) * 1000}

    def many(self, name: str, *, step_s: float) -> dict[str, float]:
        """Measure looks whose `since` moves by `step_s` each time, while outcomes arrive at the day's rate."""
        looks = self._load["looks"]
        with self._process.client(NAMESPACE) as client, reporting(self._process, self._load):
            cpu = cpu_s(self._pid)
            took = sorted(self.look(client, 1 + number * step_s) for number in range(looks))
            cpu = cpu_s(self._pid) - cpu
        return {
            f"{name}.ms_p50": statistics.median(took),
            f"{name}.ms_p99": took[int(looks * 0.99)],
            f"{name}.cpu_ms": cpu / looks * 1000,
        }


@contextmanager
def reporting(process: Process, load: dict[str, Any]) -> Iterator[None]:
    """Send outcomes of episodes that ended just now, ten batches a second."""
    batch = max(1, round(load["episodes"] / load["span_s"] / 10))
    prepared = iter(bodies(f"r{time.monotonic_ns()}", 600, batch))
    done = threading.Event()

    def report() -> None:
        with process.client(NAMESPACE) as client:
            while not done.wait(0.1) and (body := next(prepared, None)) is not None:
                client.post("/outcomes", content=body).raise_for_status()

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def measure_statistics(folder: Path, load: dict[str, Any]) -> dict[str, float]:
    began, now = time.perf_counter(), datetime.now(UTC)
    fill(folder, load, now)
    print(f"{load['episodes']} episodes written in {time.perf_counter() - began:.0f} s")
    measured: dict[str, float] = {}
    with logbook(folder) as (process, pid):
        looker = Looker(process, pid, load, now)
        measured |= looker.first("look.first")
        time.sleep(5)  # what it counted is kept by the writer, a few windows at a time
    with logbook(folder) as (process, pid):
        looker = Looker(process, pid, load, now)
        measured |= looker.first("look.restarted")
        measured |= looker.many("look", step_s=0)
        measured |= looker.many("look_since_moves", step_s=0.1)
        return measured | {"look.memory_mib": rss_mib(pid)}


def measure_wake(folder: Path, load: dict[str, Any]) -> dict[str, float]:
    took = []
    with logbook(folder) as (process, _), process.client(NAMESPACE) as client, process.client(NAMESPACE) as waiter:
        for row in range(load["rows"]):
            query: dict[str, Any] = {"versions": "candidate", "grace": 5}
            etag = waiter.get("/statistics", params=query).json()["etag"]
            woken: list[float] = []

            def wait(query: dict[str, Any] = query | {"etag": etag, "wait": 20}, woken: list[float] = woken) -> None:
                assert waiter.get("/statistics", params=query).json()["etag"] != query["etag"]
                woken.append(time.perf_counter())

            thread = threading.Thread(target=wait)
            thread.start()
            while "belay_logbook_waiting 1.0" not in httpx.get(f"{process.url}/metrics").text:
                time.sleep(0.01)
            time.sleep(0.2)  # quiet: under a stream of rows, looks are gathered instead (look.MIN_GAP)
            token = sign(Receipt(NAMESPACE, "candidate", f"w{row}", 0, datetime.now(UTC) - timedelta(seconds=10)), KEY)
            item = {"receipt": token, "outcomes": {"return": 1}}
            client.post("/outcomes", json={"items": [item]}).raise_for_status()
            answered = time.perf_counter()
            thread.join()
            took.append(max(0.0, woken[0] - answered) * 1000)
    return {"wake.ms_p50": statistics.median(took), "wake.ms_max": max(took)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the episodes")
    quick = parser.parse_args().quick
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    if quick:
        load["statistics"]["episodes"] //= 10
    measured: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / part for part in ("outcomes", "singles", "statistics", "wake")]
        for folder in folders:
            folder.mkdir()
        measured |= measure_ingest(folders[0], load["outcomes"], "outcomes", load["outcomes"]["batch"])
        measured |= measure_ingest(folders[1], load["singles"], "singles", 1)
        measured |= measure_statistics(folders[2], load["statistics"])
        measured |= measure_wake(folders[3], load["wake"])
    if not quick:
        (HERE / "results.json").write_text(json.dumps(measured, indent=1))
    return check(HERE / "ranges.yaml", measured)


if __name__ == "__main__":
    sys.exit(main())
