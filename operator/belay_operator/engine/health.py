"""Tell Kubernetes whether this process lives (/livez), is ready (/readyz) and how it does (/metrics).

Alive means it makes progress, not that a port answers: the event loop turns, waiting keys are being worked on, and the
watches bring what a list finds. A process that waits for the Lease is alive and ready: it is ready to take over.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import web

from belay_operator.engine import metrics

PORT = 8610
LAG_LIMIT = timedelta(seconds=20)
STUCK_LIMIT = timedelta(minutes=3)  # longer than the longest call with all its tries
BEAT = timedelta(milliseconds=500)


@dataclass(slots=True)
class Health:
    """What the probes ask. Each check returns None when well, else what is wrong."""

    live: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    ready: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    gauges: list[Callable[[], None]] = field(default_factory=list)
    _beat: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.live["event loop"] = self._loop_check

    async def beat(self) -> None:
        """Measure the event loop's delay until cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(BEAT.total_seconds())
            self._beat = time.monotonic()
            metrics.LOOP_LAG.set(max(0.0, self._beat - before - BEAT.total_seconds()))

    async def serve(self, port: int) -> web.AppRunner:
        """Start answering probes; port 0: a free one, on loopback only. The caller cleans the runner up."""
        app = web.Application()
        app.router.add_get("/livez", lambda request: _answer(self.live))
        app.router.add_get("/readyz", lambda request: _answer(self.ready))
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host=None if port else "127.0.0.1", port=port).start()
        return runner

    def _loop_check(self) -> str | None:
        silent = time.monotonic() - self._beat
        return f"no turn for {silent:.0f} s" if silent > LAG_LIMIT.total_seconds() else None

    async def _metrics(self, request: web.Request) -> web.Response:
        for gauge in self.gauges:
            gauge()
        return web.Response(body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _answer(checks: dict[str, Callable[[], str | None]]) -> web.Response:
    wrong = {name: said for name, check in checks.items() if (said := check()) is not None}
    text = "".join(f"{name}: {said}\n" for name, said in wrong.items()) or "ok\n"
    return web.Response(status=503 if wrong else 200, text=text)
