"""What only Events say about a Job, as a fact for who made it: the loop that both pollers of this folder share.

Events are no cached kind, so they are listed: only in namespaces where an object waits, with one call a namespace and
reason for all its objects.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from belay_api import names
from belay_api.units import parse_instant
from belay_operator.engine.errors import ApiError
from belay_operator.engine.plan import Key
from belay_operator.engine.resources import PARENT_LABELS
from belay_operator.engine.source import PollerContext

PERIOD_S = 10.0  # between two looks, while anything waits
_MAKERS = {label: kind for label, kind in PARENT_LABELS.items() if label != names.POLICY_LABEL}  # pods that serve: none

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
Name = tuple[str, str]  # a namespace, and an object in it: of facts, a Job
Words = Callable[[Sequence[Object], Sequence[Object]], dict[Name, str]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Which objects wait for something that only Events tell, and how it is told."""

    kind: str  # of the objects
    reasons: tuple[str, ...]  # of the Events
    patience: timedelta  # a younger object just waits for its turn
    waits: Callable[[Object], bool]
    words: Words
    """Waiting objects of one namespace, and Events there, to the words about each Job that has any."""


class EventWords:
    """The poller of one topic."""

    def __init__(self, topic: str, waiting: Waiting, *, period_s: float = PERIOD_S) -> None:
        self.name = topic
        self._waiting = waiting
        self._period_s = period_s
        self._facts: dict[Name, str] = {}
        self._makers: dict[Name, Key] = {}  # of the Jobs that there is a fact about

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
                self._put(context, await self._ask(context, found.values()), found.values())
                await (asyncio.sleep(self._period_s) if found else changes.wait())

    def _put(self, context: PollerContext, found: Mapping[Name, str], things: Iterable[Object]) -> None:
        waiting = {(thing["metadata"]["namespace"], job_of(thing)): maker_of(thing) for thing in things}
        makers = self._makers | {name: maker for name, maker in waiting.items() if maker is not None}
        changed = [name for name in {*found, *self._facts} if found.get(name) != self._facts.get(name)]
        self._facts = dict(found)
        for name in sorted(changed):
            context.put(self.name, *name, found.get(name), wake=[makers[name]])
        self._makers = {name: makers[name] for name in found}

    async def _ask(self, context: PollerContext, things: Iterable[Object]) -> dict[Name, str]:
        """Return the words about each Job whose objects have waited for a while.

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


def maker_of(thing: Object) -> Key | None:
    """Return the object of ours that a Job, or a pod of one, was made for; None: it was made for none that asks."""
    meta = thing["metadata"]
    labels = meta.get("labels") or {}
    found = next((label for label in _MAKERS if label in labels), None)
    return None if found is None else Key(_MAKERS[found], meta["namespace"], labels[found])


def job_of(thing: Object) -> str:
    """Return the name of a Job, or of the one that a pod belongs to; empty: it belongs to none."""
    meta = thing["metadata"]
    if thing["kind"] == "Job":
        return str(meta["name"])
    owners = (one for one in meta.get("ownerReferences") or () if one["kind"] == "Job")
    return str(next((one["name"] for one in owners), ""))


def told_at(event: Object) -> str:
    """Return when an Event was last told, as RFC 3339 text in UTC, which sorts."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])
