"""The protocol between a rollout's recorded intent and whatever carries its traffic.

Two moves only: say what the route should be, and read whether the one that exists is that and in force. There is no
"set weight": a rollback, a step and a promotion are all the same act, writing the one route that follows from status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from belay_api.rollout import GatewayTraffic
from belay_operator.children import Owner
from belay_operator.engine.plan import Manifest, Ref


@dataclass(frozen=True, slots=True)
class Intent:
    """Where requests shall go: fully determined by status (and, for warm versions, the time)."""

    shares: tuple[tuple[str, float], ...]  # (policy, percent of new episodes), zero shares left out; sums to 100
    pinned: tuple[tuple[str, str], ...]  # (policy, who answers its episodes under way), in the order of the rules


class Answer(IntEnum):
    """What a gateway says of a route; the order is from good to bad."""

    ACCEPTED = 0  # at its latest generation, all backends found
    PENDING = 1  # it has judged an earlier generation; the answer is on its way
    SILENT = 2  # it has never said anything
    REFUSED = 3  # it has said no to the latest generation


@dataclass(frozen=True, slots=True)
class RouteView:
    """The route that exists."""

    uid: str
    spec: Mapping[str, Any]
    answer: Answer  # the worst of all gateways we attach to
    ours: bool = True  # False: an object of that name that belongs to another rollout, or to a deleted one
    message: str = ""  # why it is not accepted, in the gateway's words

    @property
    def accepted(self) -> bool:
        """Whether every gateway has accepted the latest generation."""
        return self.answer is Answer.ACCEPTED


class Router(Protocol):
    """One way of carrying traffic."""

    def manifest(self, traffic: GatewayTraffic, intent: Intent, *, owner: Owner, labels: Mapping[str, str]) -> Manifest:
        """Return the route for an intent, under the rollout's name."""

    def carries(self, route: RouteView, manifest: Manifest) -> bool:
        """Return whether the existing route already says what `manifest` says."""

    def read(self, route: Mapping[str, Any], traffic: GatewayTraffic, *, owner: Owner) -> RouteView:
        """Return what an existing route says and whether it is in force."""

    def ref(self, route: RouteView, *, owner: Owner) -> Ref:
        """Return what to delete when there is nothing left to serve."""
