"""Many users at once: real CartPole episodes, each action asked of the policy by the gateway, each return reported.

Runs in a pod (see belay_demo.players). One line of JSON a second with the totals goes to standard output.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys

import gymnasium

from belay_client import AsyncClient

URL = os.environ["PLAYERS_URL"]  # the route's public address
USERS = int(os.environ["PLAYERS_USERS"])
THINK_S = float(os.environ["PLAYERS_THINK_S"])  # between two actions of one user
TIMEOUT_S = 1.0  # a user of this demo would rather wait than have a safe default action spoil the return


async def main() -> None:
    """Play until told to stop."""
    totals = {"episodes": 0, "requests": 0, "failed": 0, "moved": 0, "by": {}, "errors": {}}
    async with AsyncClient(URL, fallback_action=0, timeout_s=TIMEOUT_S) as client, asyncio.TaskGroup() as group:
        tasks = [group.create_task(play(client, number, totals)) for number in range(USERS)]
        tasks.append(group.create_task(tell(totals)))

        def stop() -> None:
            for task in tasks:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)


async def play(client: AsyncClient, number: int, totals: dict) -> None:
    """Be one user: episode after episode, each from another start."""
    environment = gymnasium.make("CartPole-v1")
    await asyncio.sleep(number * THINK_S * 3)  # users do not arrive all at once
    seed = 10_000_000 + number
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            observation, _ = environment.reset(seed=seed)
            seed += USERS
            returned, length, over = 0.0, 0, False
            async with client.episode() as episode:
                while not over:
                    answer = await episode.act(observation.tolist())
                    totals["requests"] += 1
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
