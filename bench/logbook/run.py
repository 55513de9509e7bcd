"""How many outcomes one core takes durably, how long a look takes, and how soon a row wakes who waits for it.

    python bench/logbook/run.py

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
from belay_logbook.episodes import Report, record_outcomes
from belay_logbook.schema import migrate

HERE = Path(__file__).parent
NAMESPACE = "bench"
KEY = namespace_key(MASTER, NAMESPACE)
VERSIONS = ("stable", "candidate")


def bodies(prefix: str, requests: int, batch: int) -> list[bytes]:
    """Signed requests, made beforehand: signing is the serving pods' work."""
    now = datetime.now(UTC)
    made = []
    for request in range(requests):
        items = []
        for item in range(batch):
            token = sign(Receipt(NAMESPACE, VERSIONS[item % 2], f"{prefix}-{request}-{item}", 0, now), KEY)
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


def fill(folder: Path, load: dict[str, Any], now: datetime) -> None:
    """Write a day of episodes with the room's own function, without HTTP."""
    (folder / "data").mkdir(parents=True)
    connection = sqlite3.connect(folder / "data" / "logbook.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection)
    total, step = load["episodes"], timedelta(seconds=load["span_s"] / load["episodes"])
    connection.execute("BEGIN")
    for first in range(0, total, 10_000):
        by_arrival: dict[int, list[Report]] = {}
        for number in range(first, first + 10_000):
            at = now - (total - number) * step
            receipt = Receipt(NAMESPACE, VERSIONS[number % 2], f"e{number}", 0, at)
            arrived = int(at.timestamp()) * 1000 + 9_000
            by_arrival.setdefault(arrived, []).append(Report(receipt, {"return": 400.0 + number % 97}, moved=False))
        for arrived, reports in by_arrival.items():
            record_outcomes(connection, reports, arrived)
    connection.execute("COMMIT")
    connection.close()


def measure_statistics(folder: Path, load: dict[str, Any]) -> dict[str, float]:
    now = datetime.now(UTC)
    fill(folder, load, now)
    with logbook(folder) as (process, pid), process.client(NAMESPACE) as client:

        def look(shift_s: float) -> float:
            since = now - timedelta(seconds=load["span_s"] - shift_s)
            query = {"versions": ",".join(VERSIONS), "window": load["window_s"], "grace": load["grace_s"]}
            began = time.perf_counter()
            answer = client.get("/statistics", params=query | {"since": since.isoformat()}).raise_for_status().json()
            took = time.perf_counter() - began
            counted = sum(window["count"] for version in answer["versions"] for window in version["windows"])
            assert counted > 0.98 * load["episodes"], counted
            return took * 1000

        first = look(0)
        took = sorted(look(1 + number * 0.1) for number in range(load["looks"]))
        memory = rss_mib(pid)
    return {
        "look.first_ms": first,
        "look.ms_p50": statistics.median(took),
        "look.ms_p99": took[int(len(took) * 0.99)],
        "look.memory_mib": memory,
    }


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
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    measured: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / part for part in ("outcomes", "singles", "statistics", "wake")]
        for folder in folders:
            folder.mkdir()
        measured |= measure_ingest(folders[0], load["outcomes"], "outcomes", load["outcomes"]["batch"])
        measured |= measure_ingest(folders[1], load["singles"], "singles", 1)
        measured |= measure_statistics(folders[2], load["statistics"])
        measured |= measure_wake(folders[3], load["wake"])
    (HERE / "results.json").write_text(json.dumps(measured, indent=1))
    return check(HERE / "ranges.yaml", measured)


if __name__ == "__main__":
    sys.exit(main())
