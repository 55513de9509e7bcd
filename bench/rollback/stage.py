"""Where a run takes place: what differs between the real cluster and a real API server with a stand-in behind it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from played import Player

from belay_demo.kube import Namespace

BENCH = Namespace("bench-rollback")
ROLLOUT = "canary"


@dataclass(frozen=True, slots=True)
class Sides:
    """The two policies of a rollout."""

    stable: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A place where two rollouts can be made: the one that is measured, and one whose pods die."""

    kubeconfig: str
    measured: Sides
    """Their policies exist."""
    outage: Sides
    """Theirs too; pods of the candidate can be added by label."""
    player: Player
    """Plays at the rollout ROLLOUT of namespace BENCH."""
    outcomes: str
    """Where returns are reported."""
    token: str
    """The bearer token for it."""
    silent: tuple[str, ...]
    """Addresses that do not answer the operator; it has a route to them."""
    asked: Callable[[], int] | None
    """How often the operator has tried them; None: nobody there can count."""


StageOf = Callable[[int], AbstractAsyncContextManager[Stage]]
"""Sets one up with so many silent addresses."""
