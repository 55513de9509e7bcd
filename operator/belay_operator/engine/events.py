"""Kubernetes Events: told, never waited for.

`tell` returns at once. A writer of its own posts them with its own small rate, so that a flood of news slows no
reconcile. While they wait, Warnings go first and Normals of one object and reason fold into the latest; where too many
wait, Normals are lost first, the oldest before the others, and every loss is counted. Decisions tell each situation
once; the short memory here only catches a pass that is repeated because its writes failed half-way.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from belay_api import names
from belay_operator.engine import metrics
from belay_operator.engine.client import Client
from belay_operator.engine.errors import ApiError
from belay_operator.engine.plan import Note
from belay_operator.engine.rate import TokenBucket

RATE_PER_S = 10.0
BURST = 50
WAITING = 1_000  # events kept while the API server is slow
SAME = timedelta(minutes=1)  # the same words about the same object within this time are one event
MESSAGE_LIMIT = 1_000  # characters; the API server refuses more than 1,024

log = logging.getLogger(__name__)


class Backlog:
    """Events that wait to be posted."""

    def __init__(self, limit: int = WAITING) -> None:
        self._limit = limit
        self._warnings: deque[dict[str, Any]] = deque()
        self._normals: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()  # by uid of the object, and reason
        self.dropped = 0

    def put(self, event: dict[str, Any]) -> None:
        """Add an event; the one that matters least goes when there are too many."""
        if event["type"] == "Warning":
            self._warnings.append(event)
        else:
            same = (event["involvedObject"]["uid"], event["reason"])
            if (before := self._normals.get(same)) is not None:
                event |= {"firstTimestamp": before["firstTimestamp"], "count": before["count"] + 1}
            self._normals[same] = event  # in the place of the one before
        if len(self) > self._limit:
            self.dropped += 1
            if self._normals:
                self._normals.popitem(last=False)
            else:
                self._warnings.popleft()

    def get(self) -> dict[str, Any]:
        """Return the next event to post. Raises: IndexError when none waits."""
        if self._normals and not self._warnings:
            return self._normals.popitem(last=False)[1]
        return self._warnings.popleft()

    def __len__(self) -> int:
        return len(self._warnings) + len(self._normals)


class Events:
    """Posts notes as Events about the object they concern."""

    def __init__(self, client: Client, *, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._instance, self._clock = client, instance, clock
        self._backlog = Backlog()
        self._waiting, self._all_posted = asyncio.Event(), asyncio.Event()
        self._all_posted.set()
        self._bucket = TokenBucket(rate_per_s=RATE_PER_S, burst=BURST, clock=clock)
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def tell(self, obj: Mapping[str, Any], note: Note) -> None:
        """Post `note` about `obj` soon, unless the same was told just now."""
        meta, now = obj["metadata"], self._clock()
        same = (meta["uid"], note.reason, note.message)
        if now - self._told.get(same, float("-inf")) < SAME.total_seconds():
            return
        self._told[same] = now
        self._told.move_to_end(same)
        if len(self._told) > 4 * WAITING:
            self._told.popitem(last=False)
        dropped = self._backlog.dropped
        self._backlog.put(self._event(obj, note))
        metrics.EVENTS_DROPPED.inc(self._backlog.dropped - dropped)
        self._waiting.set()
        self._all_posted.clear()

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            await self._waiting.wait()
            await self._bucket.take()
            event = self._backlog.get()  # only now: a Warning may have come while the rate was waited for
            if not self._backlog:
                self._waiting.clear()
            try:
                await self._client.create(event, tries=2)
            except ApiError as error:  # an event is a courtesy: losing one changes nothing that is decided
                metrics.EVENTS_DROPPED.inc()
                log.info("event not posted: %s", error)
            finally:
                if not self._backlog:
                    self._all_posted.set()

    async def flush(self, within: timedelta) -> None:
        """Give waiting events a moment to go out; for a clean end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_posted.wait(), within.total_seconds())

    def _event(self, obj: Mapping[str, Any], note: Note) -> dict[str, Any]:
        meta, at = obj["metadata"], datetime.now(UTC)
        stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            # The name as kubectl's own clients make it: unique by time, sorted under the object.
            "metadata": {"name": f"{meta['name']}.{time.time_ns():x}", "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
                "resourceVersion": meta["resourceVersion"],
            },
            "reason": note.reason,
            "message": note.message[:MESSAGE_LIMIT],
            "type": "Warning" if note.warning else "Normal",
            "source": {"component": names.FIELD_MANAGER},
            "reportingComponent": names.FIELD_MANAGER,
            "reportingInstance": self._instance,
            "action": note.reason,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
