"""The demo's users share requests and nothing else."""

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLAY = Path(__file__).parents[3] / "dev" / "demo" / "players" / "play.py"


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, value in {"PLAYERS_URL": "http://x/", "PLAYERS_USERS": "2", "PLAYERS_THINK_S": "0"}.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("play", PLAY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Client:
    """Answers with the episode and the observation it was asked about, and remembers how many were asked at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def act_many(self, episodes: list[Any], observations: list[Any]) -> list[Any]:
        self.asked.append(len(episodes))
        await asyncio.sleep(0.01)
        return list(zip(episodes, observations, strict=True))


@pytest.mark.asyncio
async def test_who_is_ready_together_asks_together_and_gets_their_own_answer(play: ModuleType) -> None:
    client = Client()
    async with asyncio.TaskGroup() as group:
        table = play.Table(client, group)
        asked = [group.create_task(table.act(name, number)) for number, name in enumerate("abc")]
        answers = await asyncio.gather(*asked)
        later = await table.act("d", 3)
    assert answers == [("a", 0), ("b", 1), ("c", 2)]
    assert later == ("d", 3)
    assert client.asked == [3, 1]


@pytest.mark.asyncio
async def test_a_user_who_leaves_takes_nobodys_answer_along(play: ModuleType) -> None:
    async with asyncio.TaskGroup() as group:
        table = play.Table(Client(), group)
        leaves, stays = (group.create_task(table.act(name, 0)) for name in "ab")
        await asyncio.sleep(0.005)  # asked, not answered yet
        leaves.cancel()
        assert await stays == ("b", 0)
