"""The history of a training: when each attempt at a seed, or to search, began, on which node, and why it ended."""

from belay_api.model import StatusModel
from belay_api.reasons import AttemptEnd
from belay_api.units import Instant

MOST_ATTEMPTS = 10


class Evictions(StatusModel):
    """Evictions by the kubelet that cost a retry though the Job takes them for disruptions."""

    count: int
    """How many there were."""
    last: Instant
    """When the pod of the last one had begun: those up to here are counted, whether their pods are there or not."""


class AttemptRecord(StatusModel):
    """One attempt: the life of one pod."""

    pod: str
    """Name of the pod."""
    seed: int | None = None
    """What seeds its training; absent: it searched."""
    node: str | None = None
    """Where it ran; absent: nowhere."""
    started_at: Instant
    """When its node took it."""
    ended_at: Instant | None = None
    """When it ended, or when that was found; absent: it has not."""
    reason: AttemptEnd | None = None
    """Why it ended, or is being ended; absent: it is at work."""
    message: str | None = None
    """More about the end: in the trainer's own words, or Kubernetes'."""
