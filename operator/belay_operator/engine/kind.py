"""The four moves of a kind, as the engine calls them: observe, decide; build and apply happen inside and after.

Each folder `training/`, `policy/`, `rollout/` offers one module-level `KIND: Kind` in its `__init__.py`-free file
`observe.py`. The engine knows nothing else of them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Protocol

from belay_operator.engine.change import Change
from belay_operator.engine.gauge import Gauge
from belay_operator.engine.plan import Key, Plan, Settings


class Priority(IntEnum):
    """Which key goes first: a lower number never waits for a higher one that came earlier."""

    ROLLBACK = 0  # traffic is being taken away from a policy, and that is not proven yet
    ROLLOUT = 1  # any other pass over a rollout: the next one may decide a rollback
    REST = 2


class Reader(Protocol):
    """The cache as `observe` may use it: plain dicts, never to be changed by the reader."""

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return the object, or None when it does not exist."""

    def whole(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return the object as `get` does, with the pod template that is otherwise kept packed: a costly look."""

    def owned(self, kind: str, owner_uid: str) -> list[Mapping[str, Any]]:
        """Return the objects of `kind` with an owner reference to `owner_uid`, as its controller or not."""

    def in_namespace(self, kind: str, namespace: str) -> list[Mapping[str, Any]]:
        """Return all cached objects of `kind` in a namespace."""

    def labelled(self, kind: str, namespace: str, label: str, value: str) -> list[Mapping[str, Any]]:
        """Return the objects of `kind` in a namespace with `label` = `value`, by index.

        Indexed labels are those of `belay_api.names` that name a parent: training-job, policy, rollout, family.
        """

    def indexed(self, index: str, kind: str, namespace: str, value: str) -> list[Mapping[str, Any]]:
        """Return the objects of `kind` in a namespace that an index of `engine/indexes.py` has under `value`."""

    def serves(self, kind: str) -> bool:
        """Return whether this cluster serves the kind at all; False for an HTTPRoute without the Gateway API."""

    def fact(self, topic: str, namespace: str, name: str) -> Any | None:
        """Return what a poller last wrote under (topic, namespace, name), or None when nothing was measured."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of our resources, and the functions that handle it."""

    name: str
    plural: str
    observe: Callable[[Mapping[str, Any], Reader, Settings], Any]
    """(object, cache, settings) -> the frozen value decide needs. Raises ValueError/ValidationError: InvalidSpec."""
    decide: Callable[[Any, datetime], Plan]
    """(observed, now) -> plan. Pure."""
    invalid: Callable[[Mapping[str, Any], str, datetime], Plan]
    """(object, message, now) -> a plan whose status says Ready=False, reason InvalidSpec. Changes nothing else."""
    priority: Callable[[Mapping[str, Any], Reader], Priority]
    """(object, cache) -> priority in the work queue."""
    related: Callable[[Change, Reader], Iterable[Key]]
    """(change of any cached object, cache) -> keys of this kind to look at again, beyond its owner: e.g. the rollouts
    that name a changed RLPolicy. A change that says nothing new to this kind wakes nobody."""
    gauges: tuple[Gauge, ...] = ()
    """What the status of each object says to whoever watches."""
