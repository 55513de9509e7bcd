"""Pollers: what they are given and what they give. A pass never waits on an outside call; pollers do, and write facts.

A fact is what a poller last learned, kept in the cache under (topic, namespace, name) and read by `observe`:

    progress     job      {index: belay_api.wire.RunProgressRecord}
    creation     Job      why its pods cannot be made, as text
    starting     Job      why its pods cannot start, as far as only Events tell it, as text
    store        ''       belay_operator.waiting.StoreOutage, one for all that the logbook keeps anything of
    statistics   rollout  belay_operator.rollout.facts.StatisticsFact
    watch        rollout  the same of its promoted version
    standing     rollout  belay_operator.rollout.standing.StandingFact, of the same
    prometheus   rollout  belay_operator.rollout.facts.PrometheusFact
    gateway      rollout  belay_operator.rollout.facts.GatewayFact
    shadow       rollout  belay_operator.rollout.facts.ShadowFact
    serving      policy   belay_operator.rollout.facts.ServingFact
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

import aiohttp

from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Key, Settings


class Changes(Protocol):
    """The objects of one kind that changed and were not taken yet, each once however often it changed.

    Following them costs what changed, and not what exists. At first that is every object there is.
    """

    def take(self) -> set[tuple[str, str]]:
        """Return namespace and name of what was added, changed or removed since the last call."""

    async def wait(self) -> None:
        """Return once there is something to take."""


class PollerContext(Reader, Protocol):
    """What a source is given: the cache to read, a place for what it learned, and the way out."""

    settings: Settings
    http: aiohttp.ClientSession

    def now(self) -> datetime:
        """Return the aware UTC time."""

    def changes(self, kind: str) -> AbstractContextManager[Changes]:
        """Follow the objects of `kind` until the context manager is left."""

    def put(self, topic: str, namespace: str, name: str, value: Any, *, wake: Iterable[Key] = ()) -> None:
        """Store a fact and look at the `wake` keys again; None forgets the fact."""

    def token(self) -> str | None:
        """Return the operator's own bearer token for the logbook, freshly read; None outside a cluster."""

    async def events(self, namespace: str, *, kind: str, reason: str) -> list[Mapping[str, Any]]:
        """Return the Events of a namespace about objects of `kind`, with that reason. Raises: ApiError."""

    async def pods(self, namespace: str, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """Return the pods of a namespace with these labels, whoever made them. Raises: ApiError."""

    async def read(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return an object as the API server has it now, for what is not cached; None: there is none.

        Raises: ApiError.
        """

    async def apply(self, manifest: Mapping[str, Any]) -> None:
        """Server-side apply an object of the operator's own, which no plan is about. Raises: ApiError."""

    def known_uids(self, kind: str) -> frozenset[str]:
        """Return the uids of all cached objects of `kind`, without a look into any of them."""

    async def live_uids(self, kind: str, namespace: str) -> frozenset[str]:
        """Return the uids of the objects of `kind` that a namespace has now, by the API server's own word.

        Raises: ApiError.
        """


class Source(Protocol):
    """One poller; `run` is started while this process leads and cancelled when it stops.

    It must not raise for an outside failure: that is a fact to `put` (ProviderDown), with back-off. An exception that
    escapes is a bug; the engine logs it, counts it and starts `run` again after a back-off.
    """

    name: str

    async def run(self, context: PollerContext) -> None:
        """Poll until cancelled."""
