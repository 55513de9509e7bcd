"""A receiver on loopback that answers as it is told, and what the notifier is given beside it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.world import World

from belay_operator.engine.errors import Unreachable
from belay_operator.notify.notifier import Notifier, Timing
from belay_operator.notify.receivers import Receiver

SYSTEM = "belay-system"
QUICK = Timing(
    first=timedelta(milliseconds=20), longest=timedelta(milliseconds=40), between_writes=timedelta(milliseconds=1)
)
HANG = "hang"


@dataclass(slots=True)
class Listener:
    """Keeps every request; answers with what `answers` says next, and with 204 once that is empty."""

    answers: list[Any] = field(default_factory=list)  # a status, (status, headers), or HANG
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    _stir: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the bodies."""
        return [json.loads(body) for _, body in self.requests]

    @property
    def told(self) -> list[str]:
        """Return the reasons, in order."""
        return [event["data"]["reason"] for event in self.events]

    async def until(self, true: Callable[[], Any], *, within_s: float = 20.0) -> None:
        """Return once `true` is; looked at after every request."""
        async with asyncio.timeout(within_s):
            while not true():
                self._stir.clear()
                await self._stir.wait()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.requests.append((dict(request.headers), await request.read()))
        answer = self.answers.pop(0) if self.answers else 204
        self._stir.set()
        if answer == HANG:
            await asyncio.Event().wait()
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def listening(*answers: Any) -> AsyncIterator[Listener]:
    """A receiver on a free port."""
    listener = Listener(list(answers))
    app = web.Application()
    app.router.add_post("/hook", listener.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield listener
    finally:
        await runner.cleanup()


class Cluster(WorldPollerContext):
    """A world with ConfigMaps, whose API server may be away."""

    __test__ = False
    away = False
    refused = 0  # calls meanwhile

    async def read(self, kind: str, namespace: str, name: str) -> Any:
        """Return the object, as `PollerContext.read` does."""
        self._answers()
        return await super().read(kind, namespace, name)

    async def apply(self, manifest: Any) -> None:
        """Keep the object, as `PollerContext.apply` does."""
        self._answers()
        self.put(manifest)
        await asyncio.sleep(0)
        self._stir.set()

    def _answers(self) -> None:
        if self.away:
            self.refused += 1
            self._stir.set()
            raise Unreachable("PATCH", code=None, reason="Gone", message="no answer")

    @property
    def ledger(self) -> dict[str, Any]:
        """Return what is written down."""
        found: dict[str, Any] = json.loads(
            self.objects["ConfigMap", SYSTEM, "belay-notifications"]["data"]["ledger.json"]
        )
        return found


@asynccontextmanager
async def cluster(world: World) -> AsyncIterator[Cluster]:
    """What a notifier is given over `world`."""
    async with aiohttp.ClientSession() as http:
        yield Cluster(world, http)


@asynccontextmanager
async def notifying(
    context: Cluster, *receivers: Receiver, folder: Path = Path("/nowhere"), timing: Timing = QUICK
) -> AsyncIterator[asyncio.Task[None]]:
    """An operator notifies; leaving the context kills it where it stands, as -9 does: it cleans up nothing."""
    running = asyncio.create_task(Notifier(receivers, SYSTEM, folder=folder, timing=timing).run(context))
    try:
        yield running
    finally:
        ended = running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert not ended, running.exception()
