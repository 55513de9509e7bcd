"""What an episode is in both clients; how it acts is the clients' own."""

from typing import Any, Protocol

from belay_client import core
from belay_client.core import EpisodeMemory


class Reporter(Protocol):
    """A client, as an episode needs it to tell its outcome."""

    def _report(self, message: dict[str, Any]) -> None:
        """Queue an outcome."""


class ReportedEpisode:
    """One episode: what it remembers, and how its outcome is told."""

    def __init__(self, reporter: Reporter, memory: EpisodeMemory) -> None:
        self._reporter = reporter
        self.memory = memory

    @property
    def policy(self) -> str | None:
        """The version that answered last."""
        return self.memory.policy

    @property
    def moved(self) -> bool:
        """Whether another version took over on the way."""
        return self.memory.moved

    @property
    def state_lost(self) -> bool:
        """Whether the policy remembered the episode and the version that took over began anew."""
        return self.memory.state_lost

    def report(
        self,
        *,
        return_: float | None = None,
        length: int | None = None,
        violations: int | None = None,
        success: bool | None = None,
        **custom: float,
    ) -> None:
        """Tell what became of the episode; sent in the background.

        Args:
            return_: Undiscounted sum of rewards.
            length: Timesteps.
            violations: Constraint violations counted.
            success: Whether the task was achieved.
            custom: Anything else a metric of the rollout names; numbers.
        Raises: ValueError for NaN or infinities, and for a success that is neither 0 nor 1.
        """
        message = core.outcome(
            self.memory, return_=return_, length=length, violations=violations, success=success, custom=custom
        )
        if message:
            self._reporter._report(message)
