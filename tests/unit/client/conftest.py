"""A real HTTP server that speaks the serving protocol, and the real logbook as a process of its own."""

import asyncio
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from belay_api.receipts import Receipt, namespace_key, sign

ROOT = Path(__file__).parents[3]
NAMESPACE = "team-a"
MASTER = bytes(range(32))


@dataclass
class Served:
    """A policy server and what it was asked; `version`, `delay_s` and `status` may be changed while it runs."""

    url: str
    version: str = "v1"
    delay_s: float = 0.0
    status: int = 200
    refusals: int = 0  # this many requests are answered 503 first
    pins: list[str | None] = field(default_factory=list)
    items: list[dict] = field(default_factory=list)


@pytest.fixture
def served() -> Iterator[Served]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    state = Served(f"http://127.0.0.1:{listener.getsockname()[1]}/predictions/policy")

    async def predict(request: Request) -> Response:
        body = await request.json()
        if state.delay_s:
            await asyncio.sleep(state.delay_s)
        if state.refusals:
            state.refusals -= 1
            return Response("no cluster", status_code=503)
        if state.status != 200:
            return Response("gateway is unhappy", status_code=state.status)
        items = body if isinstance(body, list) else [body]
        state.pins.append(request.headers.get("x-belay-policy"))
        state.items += items
        answers = [_answer(item, state.version) for item in items]
        single = not isinstance(body, list)
        status = answers[0]["error"]["status"] if single and "error" in answers[0] else 200
        return JSONResponse(answers[0] if single else answers, status_code=status)

    app = Starlette(routes=[Route("/predictions/policy", predict, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield state
    server.should_exit = True
    thread.join()


def _answer(item: dict, version: str) -> dict:
    if any(math.isnan(value) for value in item["observation"]):
        return {"error": {"status": 400, "message": "observation holds NaN: send finite numbers"}}
    answer = {"action": 1, "policy": version, "fallback": False}
    if "episode" in item:
        receipt = Receipt(NAMESPACE, version, item["episode"], item["step"], datetime.now(UTC))
        answer["receipt"] = sign(receipt, namespace_key(MASTER, NAMESPACE))
    return answer


@dataclass
class RunningLogbook:
    """The logbook's process; it may be stopped and started again on the same data."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        path = os.pathsep.join(str(ROOT / room) for room in ("api", "logbook"))
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "belay_logbook", "--data", str(self.folder / "data")),
                *("--listen", f"127.0.0.1:{self.port}", "--receipt-key", str(self.folder / "key"), "--insecure-local"),
            ],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError("the logbook did not become ready within 30 s")

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def statistics(self, version: str) -> dict:
        query = {"versions": version, "outcome": "return", "window": "300", "grace": "0.001", "wait": "0"}
        answer = httpx.get(f"{self.url}/v1/namespaces/{NAMESPACE}/statistics", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["versions"][0]


@pytest.fixture
def logbook(tmp_path: Path) -> Iterator[RunningLogbook]:
    (tmp_path / "key").write_bytes(MASTER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = RunningLogbook(tmp_path, port)
    running.start()
    yield running
    running.stop()
