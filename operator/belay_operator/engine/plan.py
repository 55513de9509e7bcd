"""What a pure `decide` answers, and what the executor does with it.

The executor carries a plan out in this order: status, create, apply, delete, events. The recorded intent goes first,
so that whoever finds the world after a crash also finds what was meant. A plan holds everything worth telling; `decide`
logs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from belay_api.cost import Rates

Manifest = Mapping[str, Any]
"""A Kubernetes object as a plain dict: apiVersion, kind, metadata.name, metadata.namespace and only fields we own."""


@dataclass(frozen=True, slots=True)
class Ref:
    """An object to delete."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str  # precondition: a successor of the same name is left alone

    @classmethod
    def of(cls, api_version: str, obj: Mapping[str, Any]) -> "Ref | None":
        """Return the reference to an object as the cache has it; None: it goes already."""
        meta = obj["metadata"]
        if "deletionTimestamp" in meta:
            return None
        return cls(api_version, obj["kind"], meta["namespace"], meta["name"], meta["uid"])


@dataclass(frozen=True, slots=True)
class Note:
    """A Kubernetes Event about the reconciled object; posted once per (reason, message)."""

    reason: str  # from belay_api.reasons.EventReason
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The next move. An empty plan means: nothing is missing."""

    status: Mapping[str, Any] | None = None  # the whole new status; None: leave it as it is
    create: tuple[Manifest, ...] = ()  # made where nothing has the name yet; what has it is neither read nor changed
    apply: tuple[Manifest, ...] = ()  # server-side applied, in this order
    delete: tuple[Ref, ...] = ()
    events: tuple[Note, ...] = ()
    debounce: bool = False  # the status only tells how far things are and nobody acts on it: it may wait a moment
    requeue_after: timedelta | None = None  # look again after this long even if nothing happens; None: only on events

    @property
    def writes(self) -> tuple[Any, ...]:
        """Everything the plan would change in the API server; empty when the world is as wanted."""
        status = () if self.status is None else (self.status,)
        return (*status, *self.create, *self.apply, *self.delete)


EMPTY = Plan()


@dataclass(frozen=True, slots=True)
class Key:
    """One object of one of our kinds: the unit of the queue."""

    kind: str  # RLTrainingJob, RLPolicy or RLRollout
    namespace: str
    name: str


ENVOY_GATEWAY = ("envoy-gateway-system",)
"""The namespaces in which an Envoy Gateway runs its proxies, unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the installation decides for all kinds; handed to `observe`, never read from the environment by `decide`."""

    trainer_image: str
    handler_image: str
    logbook_url: str | None  # None: installed without a logbook
    prometheus_url: str | None = None  # for metrics that name no address; None: they have to
    gateway_namespaces: tuple[str, ...] = ENVOY_GATEWAY  # where proxies run, beside their Gateway's own namespace
    image_pull_policy: str = "IfNotPresent"
    package_index: str | None = None  # where training pods install `runtime.packages` from; None: pip's own default
    receipt_master: bytes | None = None  # 32 bytes; each namespace's receipt key derives from it; None: no receipts
    rates: Rates = field(default_factory=Rates)  # of what trainings use, where a job does not say its own
    labels: Mapping[str, str] = field(default_factory=dict)  # added to every child
