"""A proxy between operator and API server that does on demand what networks and API servers do at the worst moment.

It speaks plain HTTP to the operator and TLS with the administrator's certificate to the API server. Every request is
recorded, so a test can also say "and nothing was asked". Faults are rules: the first that matches and is not used up is
taken; where none matches, the request passes untouched.
"""

import asyncio
import base64
import json
import re
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import aiohttp
import yaml
from aiohttp import web

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    query: str
    at: float  # time.monotonic()
    code: int | None = None  # what the operator was answered; None: nothing

    @property
    def watch(self) -> bool:
        return "watch=true" in self.query


@dataclass(slots=True)
class Fault:
    """What to do with requests that match.

    Exactly one of the actions: `code` answers in the API server's stead; `drop` closes the connection without an answer
    ("before" or "after" passing the request on); `delay_s` waits first; `call` runs a function of the test ("before"
    or "after" by `call_when`).
    """

    method: str = ".*"
    path: str = ".*"
    watch: bool | None = None  # only watches, or only other requests; None: both
    times: int = 1_000_000
    code: int | None = None
    event: bool = False  # of a watch: tell the code in its stream, as 410 always is
    headers: dict[str, str] = field(default_factory=dict)
    drop: str | None = None
    delay_s: float = 0.0
    call: Callable[[Seen], None] | None = None
    call_when: str = "before"

    def matches(self, seen: Seen) -> bool:
        return (
            self.times > 0
            and re.fullmatch(self.method, seen.method) is not None
            and re.search(self.path, seen.path) is not None
            and self.watch in (None, seen.watch)
        )


class FaultProxy:
    """`with FaultProxy(kubeconfig) as proxy:`; give the operator `proxy.kubeconfig`."""

    def __init__(self, kubeconfig: Path) -> None:
        user = yaml.safe_load(kubeconfig.read_text())
        cluster, auth = user["clusters"][0]["cluster"], user["users"][0]["user"]
        self._upstream: str = cluster["server"]
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=ca)
        with tempfile.NamedTemporaryFile() as pair:  # ssl reads certificates from files only
            pair.write(base64.b64decode(auth["client-certificate-data"]) + base64.b64decode(auth["client-key-data"]))
            pair.flush()
            self._tls.load_cert_chain(pair.name)
        self._folder = kubeconfig.parent
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._faults: list[Fault] = []
        self._streams: set[web.StreamResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self.kubeconfig = self._folder / "unset"

    # --- for tests ----------------------------------------------------------------------------------------------------
    def inject(self, fault: Fault) -> Fault:
        """Add a rule; set its `times` to 0 to end it."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Drop all rules."""
        with self._lock:
            self._faults.clear()

    def seen(self, *, writes: bool = False, since: float = 0.0, path: str = ".*") -> list[Seen]:
        """Return the requests so far, without watches and Lease traffic."""
        with self._lock:
            return [
                one
                for one in self._seen
                if one.at >= since
                and not one.watch
                and "/leases" not in one.path
                and re.search(path, one.path)
                and (not writes or one.method in WRITES)
            ]

    def break_watches(self) -> None:
        """Cut every open watch stream; nothing more comes through them once this returns."""

        async def cut() -> None:
            for stream in list(self._streams):
                if stream._payload_writer is not None and stream._req is not None and stream._req.transport is not None:
                    stream._req.transport.abort()

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(10)

    # --- life ---------------------------------------------------------------------------------------------------------
    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        self.kubeconfig = self._folder / f"proxy-{port}.kubeconfig"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                    "users": [{"name": "anybody", "user": {}}],
                    "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "anybody"}}],
                    "current-context": "proxy",
                }
            )
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.kubeconfig.unlink(missing_ok=True)

    async def _serve(self) -> int:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0), auto_decompress=False, read_bufsize=2**21
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        handlers = asyncio.all_tasks() - {asyncio.current_task()}  # of connections that somebody still holds open
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    # --- one request --------------------------------------------------------------------------------------------------
    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(request.method, request.path, request.query_string, time.monotonic())
        fault = self._take(seen)
        body = await request.read()
        code: int | None = None
        try:
            if fault is not None:
                if fault.delay_s:
                    await asyncio.sleep(fault.delay_s)
                if fault.call is not None and fault.call_when == "before":
                    fault.call(seen)
                if fault.drop == "before":
                    return _drop(request)
                if fault.code is not None:
                    code = fault.code
                    return _answer(fault, seen)
            answer = await self._pass_on(request, seen, body)
            code = answer.status
            if fault is not None and fault.call is not None and fault.call_when == "after":
                fault.call(seen)
            if fault is not None and fault.drop == "after":
                return _drop(request)
            return answer
        finally:
            with self._lock:
                self._seen.append(Seen(seen.method, seen.path, seen.query, seen.at, code))

    def _take(self, seen: Seen) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.matches(seen):
                    fault.times -= 1
                    return fault
        return None

    async def _pass_on(self, request: web.Request, seen: Seen, body: bytes) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        url = f"{self._upstream}{request.path_qs}"
        limit = aiohttp.ClientTimeout(total=None)
        async with self._session.request(
            request.method, url, data=body or None, headers=headers, timeout=limit, skip_auto_headers=["Content-Type"]
        ) as upstream:
            kept = {
                name: value
                for name, value in upstream.headers.items()
                if name in ("Content-Type", "Content-Encoding", "Retry-After")
            }
            if not seen.watch:
                return web.Response(status=upstream.status, body=await upstream.read(), headers=kept)
            stream = web.StreamResponse(status=upstream.status, headers=kept)
            await stream.prepare(request)
            self._streams.add(stream)
            try:
                async for chunk in upstream.content.iter_any():
                    await stream.write(chunk)
            except (ConnectionError, aiohttp.ClientError):
                pass  # the operator hung up, or the test cut the stream
            finally:
                self._streams.discard(stream)
            return stream


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _answer(fault: Fault, seen: Seen) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "Injected",
        "message": "injected by the fault proxy",
        "code": fault.code,
    }
    if seen.watch and (fault.code == 410 or fault.event):  # inside its stream, with status 200
        return web.json_response({"type": "ERROR", "object": status}, headers=fault.headers, dumps=_line)
    return web.json_response(status, status=fault.code or 500, headers=fault.headers)


def _line(value: object) -> str:
    return json.dumps(value) + "\n"
