"""A real HTTP server that speaks the serving protocol, and the real logbook as a process of its own."""

import asyncio
import contextlib
import math
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from belay_api.receipts import Receipt, namespace_key, sign
from belay_client import Client

from .both import Blocking

ROOT = Path(__file__).parents[3]
NAMESPACE = "team-a"
MASTER = bytes(range(32))


@pytest.fixture(params=[Client, Blocking], ids=["sync", "asyncio"])
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return lambda url, **options: request.param(url, **({"fallback_action": 0, "timeout_s": 20.0} | options))


@dataclass
class Served:
    """A policy server and what it was asked; `version`, `delay_s` and `status` may be changed while it runs."""

    url: str
    version: str = "v1"
    delay_s: float = 0.0
    status: int = 200
    refusals: int = 0  # this many requests are answered 503 first
    remembers: bool = False  # its answers have a state: of its version, and how many decisions it remembers
    pins: list[str | None] = field(default_factory=list)
    rollouts: list[str | None] = field(default_factory=list)
    users: list[tuple[str, ...]] = field(
        default_factory=list
    )  # of each request: user, tens, ones; what was not sent is ""
    connections: dict[str, set[int]] = field(default_factory=dict)  # of each episode: the client's ports
    items: list[dict] = field(default_factory=list)


@pytest.fixture
def served() -> Iterator[Served]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # at once: whoever comes before the server runs waits for it
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
        state.rollouts.append(request.headers.get("x-belay-rollout"))
        state.users.append(tuple(request.headers.get(f"x-belay-user{part}", "") for part in ("", "-tens", "-ones")))
        state.items += items
        for item in items:
            state.connections.setdefault(item.get("episode", ""), set()).add(request.client.port)
        answers = [_answer(item, state) for item in items]
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


def _answer(item: dict, served: Served) -> dict:
    seen, version = item["observation"], served.version
    given, _, decisions = item.get("state", f"{version}.0").partition(".")
    if given != version or ("state" in item and not served.remembers):
        return {"error": {"status": 409, "message": "state is of another version", "field": "state"}}
    if isinstance(seen, list) and any(isinstance(value, float) and math.isnan(value) for value in seen):
        return {"error": {"status": 400, "message": "observation holds NaN: send finite numbers"}}
    answer = {"action": 1, "policy": version, "fallback": False}
    if "episode" in item:
        receipt = Receipt(NAMESPACE, version, item["episode"], item["step"], datetime.now(UTC))
        answer["receipt"] = sign(receipt, namespace_key(MASTER, NAMESPACE))
    return answer | ({"state": f"{version}.{int(decisions) + 1}"} if served.remembers else {})


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
    try:
        running.start()
        yield running
    finally:  # also one that did not become ready in time: nobody else would end it
        running.stop()


class Scripted:
    """A real socket server that answers by a script, one step per request; the last one stands for all that follow.

    A step is the bytes of an answer, or a function that is given the connection and answers as badly as it likes. A
    connection is closed when its answer says so, or when the function returns True.
    """

    def __init__(self, *steps: bytes | Callable[[socket.socket], bool | None], secure: ssl.SSLContext | None = None):
        self.requests: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self._steps = list(steps)
        self._secure = secure
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        return f"{'https' if self._secure else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}/predictions/policy"

    def __enter__(self) -> "Scripted":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def hang_up(self) -> None:
        """Close every connection there is, as a gateway does that is replaced."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if self._secure:
                connection = self._secure.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            stack.enter_context(connection)
            while request := _whole_request(connection):
                self.requests.append(request)
                step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
                if callable(step):
                    if step(connection):
                        return
                    continue
                connection.sendall(step)
                if b"connection: close" in step:
                    return


def _whole_request(connection: socket.socket) -> bytes:
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            return received
        piece = connection.recv(65536)
        if not piece:
            return b""
        received += piece
