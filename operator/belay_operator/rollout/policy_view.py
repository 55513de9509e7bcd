"""What a rollout sees of one of its policies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from belay_api.policy import KnownOutcomes


@dataclass(frozen=True, slots=True)
class PolicyView:
    """One RLPolicy and its pods, as far as a rollout cares."""

    name: str
    digest: str  # of the artifact its pods serve
    ready_replicas: int = 0
    needed_replicas: int = 1  # ready pods without which it gets no more traffic
    broken: tuple[str, str] | None = None  # reason and message when it can never serve as it is; None: it may
    crashing: bool = False  # its own container ends again and again, which is evidence; a lost node is none
    message: str = ""  # its Ready condition's words when it is in trouble, for people
    silent_since: datetime | None = None  # since when no pod of it answers; None: one does, or nothing is known yet
    shared: bool = False  # other rollouts use it too: its pods' traffic says nothing about ours
    deleted: bool = False  # the RLPolicy is gone; its pods serve on, because this rollout owns them as well
    outcomes: KnownOutcomes | None = None  # what its training knows of them; None: no pod has read it, or it is old
    asks: Mapping[str, Any] = field(
        default_factory=dict
    )  # artifact and questions of its spec, as the API server has them
    is_ready: bool = True  # its Ready condition, which holds where nobody asks for pods as well
    created: datetime | None = None  # its RLPolicy; None: not known
    serves: str | None = None  # the digest its pods serve, where an RLPolicy of the name has another; None: its own

    @property
    def has_capacity(self) -> bool:
        """Whether it may get more traffic."""
        return self.ready_replicas >= self.needed_replicas
