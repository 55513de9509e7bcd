"""The poller that tells: it follows statuses, keeps the ledger, and sends to each receiver in a task of its own.

Nothing is sent that the ledger does not hold yet. A receiver that is not well keeps its events waiting, in order, and
is asked again after pauses that grow; past a day an event is given up. Only the leader runs this.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from belay_api.units import parse_instant
from belay_operator.engine import metrics
from belay_operator.engine.backoff import backoff
from belay_operator.engine.errors import ApiError
from belay_operator.engine.source import Changes, PollerContext
from belay_operator.notify.delivery import End, send
from belay_operator.notify.event import Event
from belay_operator.notify.ledger import Ledger, Name
from belay_operator.notify.receivers import FOLDER, Receiver
from belay_operator.notify.told import TELLING

LEDGER = "belay-notifications"
"""ConfigMap in the operator's namespace."""
KEY = "ledger.json"
GIVE_UP = timedelta(days=1)  # after an event: what is older is no news, and status still says it
TRIES = 8  # answered with an error of the receiver's own: it chokes on this event, and others wait behind it
RESULTS = ("sent", "failed", "refused", "expired", "dropped")
"""Of `belay_notifications`."""
YIELD = 100  # objects: the loop does other things in between

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Pauses; tests make them short."""

    first: timedelta = timedelta(seconds=1)  # before the second try; doubled for each further one
    longest: timedelta = timedelta(minutes=5)
    between_writes: timedelta = timedelta(milliseconds=500)  # of the ledger: what comes meanwhile goes with the next

    def pause(self, failures: int, rng: random.Random) -> timedelta:
        """Return the pause after so many failures in a row."""
        return backoff(failures, rng, first=self.first, longest=self.longest)


class Notifier:
    """The Source."""

    name = "notifications"

    def __init__(
        self,
        receivers: Iterable[Receiver],
        namespace: str,
        *,
        folder: Path = FOLDER,
        timing: Timing = Timing(),
    ) -> None:
        """Args: namespace: the operator's own, where the ledger is."""
        self._receivers, self.namespace, self.folder, self.timing = tuple(receivers), namespace, folder, timing
        self.rng = random.Random()  # jitter only

    async def run(self, context: PollerContext) -> None:
        """See `Source.run`."""
        for receiver in self._receivers:
            for result in RESULTS:
                metrics.NOTIFICATIONS.labels(receiver.name, result)  # at 0, so that an alert can ask for what is not
        term = _Term(self, context, await self._open(context))
        with contextlib.ExitStack() as stack:
            changes = {kind: stack.enter_context(context.changes(kind)) for kind in TELLING}
            async with asyncio.TaskGroup() as group:
                for receiver in self._receivers:
                    group.create_task(term.deliver(receiver), name=f"notify-{receiver.name}")
                group.create_task(term.keep(changes), name="notify-ledger")

    async def _open(self, context: PollerContext) -> Ledger:
        """Return the ledger as it was kept, or a first one."""
        failures = 0
        while True:
            try:
                kept = await context.read("ConfigMap", self.namespace, LEDGER)
                break
            except ApiError as error:
                failures += 1
                if failures == 1:
                    log.error("nothing is notified until ConfigMap %s can be read: %s", LEDGER, error)
                await asyncio.sleep(self.timing.pause(failures, self.rng).total_seconds())
        text = ((kept or {}).get("data") or {}).get(KEY)
        if text is not None:
            try:
                return Ledger.load(text, self._receivers, context.now())
            except ValueError as error:
                log.error("ConfigMap %s cannot be read (%s); notifications begin anew from now", LEDGER, error)
        return Ledger(self._receivers, context.now())


class _Term:
    """One run: the ledger, and what of it is written down."""

    def __init__(self, notifier: Notifier, context: PollerContext, ledger: Ledger) -> None:
        self._context, self._ledger, self._namespace = context, ledger, notifier.namespace
        self._folder, self._timing, self._rng = notifier.folder, notifier.timing, notifier.rng
        self._stirred = asyncio.Event()  # the ledger has to be written again
        self._written = asyncio.Condition()
        self._recorded = self._waiting()

    async def keep(self, changes: Mapping[str, Changes]) -> None:
        """Take up what is new and write the ledger, for ever."""
        failures, changed = 0, self._ledger.objects  # those that went while nobody looked
        while True:
            changed |= {(kind, *name) for kind, follower in changes.items() for name in follower.take()}
            await self._take_up(changed)
            changed = set()
            if self._ledger.changed:
                try:
                    await self._write()
                except ApiError as error:
                    failures += 1
                    if failures == 1:
                        log.error("nothing new is notified until ConfigMap %s can be written: %s", LEDGER, error)
                    await asyncio.sleep(self._timing.pause(failures, self._rng).total_seconds())
                    continue
                if failures:
                    log.info("ConfigMap %s is written again", LEDGER)
                failures = 0
                await asyncio.sleep(self._timing.between_writes.total_seconds())
            await self._something_new(changes.values())

    async def deliver(self, receiver: Receiver) -> None:
        """Send what waits for `receiver`, in order, for ever."""
        down, tries, event_id = 0, 0, ""
        while True:
            event = await self._next(receiver)
            tries = tries if event["id"] == event_id else 0
            event_id = event["id"]
            if self._context.now() - parse_instant(event["time"]) > GIVE_UP:
                log.warning("%s was not told of %s: a day has passed", receiver.name, _title(event))
                self._done(receiver, event, "expired")
                continue
            outcome = await send(self._context.http, receiver, event, self._context.now(), self._folder)
            tries += outcome.end is End.FAILED
            if outcome.end is End.REFUSED or tries >= TRIES:
                log.warning("%s refuses %s: %s", receiver.name, _title(event), outcome.words)
                self._done(receiver, event, "refused")
            elif outcome.end is End.SENT:
                self._done(receiver, event, "sent")
            else:
                down += 1
                metrics.NOTIFICATIONS.labels(receiver.name, "failed").inc()
                if down == 1:
                    log.warning("%s cannot be notified, and is tried again: %s", receiver.name, outcome.words)
                pause = max(self._timing.pause(down, self._rng), outcome.retry_after)
                await asyncio.sleep(pause.total_seconds())
                continue
            if down:
                log.info("%s answers again", receiver.name)
            down = 0

    async def _take_up(self, changed: Iterable[Name]) -> None:
        for count, name in enumerate(sorted(changed), 1):
            for event in self._ledger.take_up(name, self._context.get(*name), self._context.now()):
                for receiver in self._ledger.add(event):
                    metrics.NOTIFICATIONS.labels(receiver, "dropped").inc()
            if count % YIELD == 0:
                await asyncio.sleep(0)

    async def _write(self) -> None:
        self._ledger.changed, recorded = False, self._waiting()
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": LEDGER, "namespace": self._namespace},
            "data": {KEY: self._ledger.dump(self._context.now())},
        }
        try:
            await self._context.apply(manifest)
        except ApiError:
            self._ledger.changed = True
            raise
        async with self._written:
            self._recorded = recorded
            self._written.notify_all()
        for name, queue in self._ledger.waiting.items():
            metrics.NOTIFICATIONS_WAITING.labels(name).set(len(queue))

    async def _something_new(self, changes: Iterable[Changes]) -> None:
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(one.wait()) for one in changes]
        waits.append(asyncio.create_task(self._stirred.wait()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        self._stirred.clear()

    async def _next(self, receiver: Receiver) -> Event:
        """Return the oldest event that waits for a receiver and is written down, once there is one."""
        queue = self._ledger.waiting[receiver.name]
        async with self._written:
            await self._written.wait_for(lambda: any(event_id in self._recorded for event_id in queue))
            return next(event for event_id, event in queue.items() if event_id in self._recorded)

    def _done(self, receiver: Receiver, event: Event, result: str) -> None:
        self._ledger.remove(receiver.name, event["id"])
        metrics.NOTIFICATIONS.labels(receiver.name, result).inc()
        self._stirred.set()

    def _waiting(self) -> set[str]:
        return {event_id for queue in self._ledger.waiting.values() for event_id in queue}


def _title(event: Event) -> str:
    return f"{event['data']['reason']} of {event['data']['kind']} {event['subject']} (event {event['id']})"
