"""What only Events say about a training, as a fact for its job: the loop that both pollers of this folder share.

Events are no cached kind, so they are listed: only in namespaces where an object waits, with one call a namespace and
reason for all its objects.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from belay_api.units import parse_instant
from belay_operator.engine.errors import ApiError
from belay_operator.engine.plan import Key
from belay_operator.engine.source import PollerContext

PERIOD_S = 10.0  # between two looks, while anything waits
_KIND_NAME = "RLTrainingJob"

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
Name = tuple[str, str]  # a namespace, and an object in it
Words = Callable[[Sequence[Object], Sequence[Object]], dict[Name, str]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Which objects wait for something that only Events tell, and how it is told."""

    kind: str  # of the objects
    reasons: tuple[str, ...]  # of the Events
    patience: timedelta  # a younger object just waits for its turn
    waits: Callable[[Object], bool]
    words: Words
    """Waiting objects of one namespace, and Events there, to the words about each RLTrainingJob that has any."""


class EventWords:
    """The poller of one topic."""

    def __init__(self, topic: str, waiting: Waiting, *, period_s: float = PERIOD_S) -> None:
        self.name = topic
        self._waiting = waiting
        self._period_s = period_s
        self._facts: dict[Name, str] = {}

    def waits(self, thing: Object) -> bool:
        """Return whether Events about `thing` are asked for, once it has waited for a while."""
        return self._waiting.waits(thing)

    async def run(self, context: PollerContext) -> None:
        """Poll until cancelled."""
        found: dict[Name, Object] = {}  # what waits, by namespace and name
        with context.changes(self._waiting.kind) as changes:
            while True:
                for name in changes.take():
                    thing = context.get(self._waiting.kind, *name)
                    if thing is not None and self.waits(thing):
                        found[name] = thing
                    else:
                        found.pop(name, None)
                self._put(context, await self._ask(context, found.values()))
                await (asyncio.sleep(self._period_s) if found else changes.wait())

    def _put(self, context: PollerContext, found: Mapping[Name, str]) -> None:
        changed = [name for name in {*found, *self._facts} if found.get(name) != self._facts.get(name)]
        self._facts = dict(found)
        for name in sorted(changed):
            context.put(self.name, *name, found.get(name), wake=[Key(_KIND_NAME, *name)])

    async def _ask(self, context: PollerContext, things: Iterable[Object]) -> dict[Name, str]:
        """Return the words about each job whose objects have waited for a while.

        What was said last stands where the API server does not answer.
        """
        by_namespace: dict[str, list[Object]] = {}
        for thing in things:
            if context.now() - parse_instant(thing["metadata"]["creationTimestamp"]) >= self._waiting.patience:
                by_namespace.setdefault(thing["metadata"]["namespace"], []).append(thing)
        found: dict[Name, str] = {}
        for namespace, late in sorted(by_namespace.items()):
            events: list[Object] = []
            try:
                for reason in self._waiting.reasons:
                    events += await context.events(namespace, kind=self._waiting.kind, reason=reason)
            except ApiError as error:
                log.info("Events of namespace %s cannot be listed (%s); asking again", namespace, error)
                found |= {name: words for name, words in self._facts.items() if name[0] == namespace}
                continue
            found |= self._waiting.words(late, events)
        return found


def told_at(event: Object) -> str:
    """Return when an Event was last told, as RFC 3339 text in UTC, which sorts."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])
