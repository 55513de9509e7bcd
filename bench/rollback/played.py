"""What the users of a run saw, and how they play; who answers them is the stage's."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx


@dataclass(frozen=True, slots=True)
class Reported:
    """One episode whose return the logbook has."""

    version: str
    began: float  # seconds since the epoch, as the other times
    sent: float
    value: float


@dataclass(slots=True)
class Played:
    """What the users saw."""

    episodes: list[Reported] = field(default_factory=list)
    answered: dict[str, float] = field(default_factory=dict)  # version -> time of its last answer
    failures: list[tuple[float, str]] = field(default_factory=list)  # when, and the client's words
    requests: int = 0

    def answer(self, version: str | None, error: str | None = None) -> None:
        """Count one decision."""
        self.requests += 1
        if error is not None:
            self.failures.append((time.time(), error))
        if version is not None:
            self.answered[version] = time.time()


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode that one version has answered from its beginning to its end."""

    version: str
    began: float
    receipt: str


class Player(Protocol):
    """Plays one episode."""

    async def episode(self, played: Played, rng: random.Random) -> Episode | None:
        """Return the episode; None when nobody answered, or when it was moved to another version."""


async def play(
    played: Played, player: Player, *, outcomes: str, token: str, candidate: str, load: dict[str, Any]
) -> None:
    """Let all users play and report until cancelled.

    Args:
        outcomes: Address of the logbook to which they report, with the bearer `token`.
    """
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(timeout=10, headers=headers) as http, asyncio.TaskGroup() as group:

        async def user(rng: random.Random) -> None:
            while True:
                episode = await player.episode(played, rng)
                if episode is None:
                    continue
                mean = load["returns"]["candidate" if episode.version == candidate else "stable"]
                value, sent = rng.gauss(mean, load["returns"]["sd"]), time.time()
                item = {"receipt": episode.receipt, "outcomes": {"return": value}}
                (await http.post(outcomes, json={"items": [item]})).raise_for_status()
                played.episodes.append(Reported(episode.version, episode.began, sent, value))

        for number in range(load["users"]):
            group.create_task(user(random.Random(number)))
