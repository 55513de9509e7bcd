"""The protocol between a rollout's recorded intent and whatever carries its traffic.

Say which objects an intent asks for, read what is there, and say what is wrong with it. There is no "set weight": a
rollback, a step and a promotion are all the same act, writing the objects that follow from status.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import Any, Protocol

from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Manifest, Ref
from belay_operator.rollout.wait import Wait


@dataclass(frozen=True, slots=True)
class Mirror:
    """Requests that one version answers are mirrored to another, whose answers nobody hears."""

    of: str  # policy that answers
    to: str  # policy that answers nobody
    percent: int
    header: str  # what pods are told of such a request


@dataclass(frozen=True, slots=True)
class Segment:
    """Requests with these headers, and where their new episodes go; their episodes under way go as everybody's do."""

    headers: tuple[tuple[str, str], ...]  # (name, value); a request has them all
    after: int  # so many of the pinned rules come before the segment's own
    shares: tuple[tuple[str, float], ...]
    told: bool  # whether their episodes are evidence of the rollout


Bucket = tuple[str, str | None]
"""The last digit but one of a user's number, and the last; None: any."""


@dataclass(frozen=True, slots=True)
class Users:
    """Users who have another share than everybody, by the last digits of their numbers."""

    buckets: tuple[Bucket, ...]  # at least one
    shares: tuple[tuple[str, float], ...]  # where their new episodes go
    arms: tuple[tuple[str, tuple[Bucket, ...]], ...] = ()  # (policy, who has it), of an experiment's

    @property
    def told_apart(self) -> tuple[Bucket, ...]:
        """Everybody whose digits some rule goes by."""
        return (*self.buckets, *(bucket for _, buckets in self.arms for bucket in buckets))


@dataclass(frozen=True, slots=True)
class Intent:
    """Where requests shall go: fully determined by status (and, for warm versions, the time)."""

    shares: tuple[tuple[str, float], ...]  # (policy, percent of new episodes), zero shares left out; sums to 100
    pinned: tuple[tuple[str, str], ...]  # (policy, who answers its episodes under way), in the order of the rules
    baseline: str | None = None  # hex digest of the artifact whose critic is asked of first observations; None: none
    mirror: Mirror | None = None  # None: nothing is mirrored
    told: bool = True  # whether episodes of those who are in no segment are evidence of the rollout
    segment: Segment | None = None  # None: the route never told any requests from others
    users: Users | None = None  # None: episodes are assigned, not users


class Acceptance(IntEnum):
    """What whoever carries traffic says of the objects it is given; the order is from good to bad."""

    ACCEPTED = 0  # as they are now
    PENDING = 1  # it has judged earlier ones; the answer is on its way
    SILENT = 2  # it has never said anything
    REFUSED = 3  # it has said no


@dataclass(frozen=True, slots=True)
class TrafficObject:
    """One object that carries traffic and exists."""

    ref: Ref
    spec: Mapping[str, Any]  # what it says; see `said`
    owned: bool  # by this very rollout
    foreign: bool  # it belongs to somebody else; one that belongs to nobody and has our label is taken up again
    annotations: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None  # metadata.resourceVersion


@dataclass(frozen=True, slots=True)
class ReadyPod:
    """A ready pod of a version, as somebody who sends it connections must know it."""

    name: str
    uid: str
    address: str
    node: str | None


@dataclass(frozen=True, slots=True)
class TrafficView:
    """What carries the rollout's traffic now."""

    objects: tuple[TrafficObject, ...] = ()
    installed: bool = True  # the cluster has what this way of carrying traffic needs
    acceptance: Acceptance = Acceptance.ACCEPTED  # the worst of all who carry traffic
    message: str = ""  # why it is not accepted, in their words
    warning: str = ""  # what else is wrong though it is accepted, in their words; empty: nothing
    # Where a weight is the ratio of pods; empty where somebody weighs requests.
    pods: Mapping[str, tuple[ReadyPod, ...]] = field(default_factory=dict)  # ready ones by policy, oldest first
    behind: Mapping[str, int] | None = None  # of them, how many get connections, by policy; None: somebody weighs

    @property
    def foreign(self) -> bool:
        """Whether an object of somebody else stands in the way."""
        return any(found.foreign for found in self.objects)


def said(manifest: Manifest) -> Mapping[str, Any]:
    """Return what an object of this kind says: its spec, or all but its name where it has none."""
    if "spec" in manifest:
        spec: Mapping[str, Any] = manifest["spec"]
        return spec
    return {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}


class Router(Protocol):
    """One way of carrying traffic."""

    def read(self, reader: Reader, policies: Collection[str]) -> TrafficView:
        """Return what carries the traffic now and whether it is in force.

        Args:
            policies: All that may serve, by name.
        """

    def objects(self, intent: Intent | None, view: TrafficView) -> tuple[Manifest, ...]:
        """Return everything that an intent asks for, in the order of writing; nothing for None.

        Args:
            view: What is there now: pods come and go.
        """

    def trouble(self, view: TrafficView, *, in_place: bool, waited: timedelta) -> Wait | None:
        """Return why what is wanted is not in force, or is in force and wrong; None: neither.

        Args:
            in_place: The objects say what is wanted.
            waited: For how long that has been wanted: silence is told as trouble only after a while.
        """
