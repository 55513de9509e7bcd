"""Many users at once: real CartPole episodes, each action asked of the policy by the gateway, each return reported.

Runs in a pod (see belay_demo.players). One line of JSON a second with the totals goes to standard output. Users live in
one process, as behind an application's server, so those who wait at the same time share a request: a request each
would take most of a small machine's time, and the verdict waits for episodes.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import Any

import gymnasium

from belay_client import AsyncClient
from belay_client.aio import AsyncEpisode
from belay_client.core import Answer

URL = os.environ["PLAYERS_URL"]  # the route's public address
USERS = int(os.environ["PLAYERS_USERS"])
THINK_S = float(os.environ["PLAYERS_THINK_S"])  # between two actions of one user
TIMEOUT_S = 3.0  # a user of this demo would rather wait than have a safe default action spoil the return


async def main() -> None:
    """Play until told to stop."""
    totals = {"episodes": 0, "decisions": 0, "failed": 0, "moved": 0, "by": {}, "errors": {}}
    async with AsyncClient(URL, fallback_action=0, timeout_s=TIMEOUT_S) as client, asyncio.TaskGroup() as group:
        table = Table(client, group)
        tasks = [group.create_task(play(client, table, number, totals)) for number in range(USERS)]
        tasks.append(group.create_task(tell(totals)))

        def stop() -> None:
            for task in tasks:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)


class Table:
    """Asks for everybody who is ready at the same time, in one request per version."""

    def __init__(self, client: AsyncClient, group: asyncio.TaskGroup) -> None:
        self._client, self._group = client, group
        self._ready: list[tuple[AsyncEpisode, Any, asyncio.Future[Answer]]] = []

    async def act(self, episode: AsyncEpisode, observation: Any) -> Answer:
        """Return the action for an observation."""
        if not self._ready:
            self._group.create_task(self._ask())
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._ready.append((episode, observation, answer))
        return await answer

    async def _ask(self) -> None:
        await asyncio.sleep(0.001)  # those who got their answers together are ready together
        asking, self._ready = self._ready, []
        given = await self._client.act_many([each[0] for each in asking], [each[1] for each in asking])
        for (_, _, answer), action in zip(asking, given, strict=True):
            if not answer.done():  # a user who left meanwhile
                answer.set_result(action)


async def play(client: AsyncClient, table: Table, number: int, totals: dict) -> None:
    """Be one user: episode after episode, each from another start."""
    environment = gymnasium.make("CartPole-v1")
    seed = 10_000_000 + number
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            observation, _ = environment.reset(seed=seed)
            seed += USERS
            returned, length, over = 0.0, 0, False
            async with client.episode() as episode:
                while not over:
                    answer = await table.act(episode, observation.tolist())
                    totals["decisions"] += 1
                    if answer.fallback:
                        totals["failed"] += 1
                        totals["errors"][answer.error] = totals["errors"].get(answer.error, 0) + 1
                    observation, reward, terminated, truncated, _ = environment.step(answer.action)
                    returned, length, over = returned + float(reward), length + 1, terminated or truncated
                    await asyncio.sleep(THINK_S)
                episode.report(return_=returned, length=length)
            totals["episodes"] += 1
            totals["moved"] += episode.moved
            by = totals["by"].setdefault(episode.policy or "none", {"episodes": 0, "return": 0.0})
            by["episodes"] += 1
            by["return"] += returned


async def tell(totals: dict) -> None:
    """Print the totals each second."""
    while True:
        await asyncio.sleep(1)
        print(json.dumps(totals), flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
