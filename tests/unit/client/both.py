"""Both clients behind one blocking face, so that one suite speaks for both."""

import asyncio
from typing import Any

from belay_client import AsyncClient


class Blocking:
    """An AsyncClient driven from blocking code, so that one suite speaks for both."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._do(self._make(*args, **kwargs))

    async def _make(self, *args: Any, **kwargs: Any) -> AsyncClient:
        return AsyncClient(*args, **kwargs)

    def _do(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._client.close())
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def predict(self, *args: Any, **how: Any) -> Any:
        return self._do(self._client.predict(*args, **how))

    def act_many(self, episodes: Any, observations: Any, **how: Any) -> Any:
        return self._do(self._client.act_many([episode._episode for episode in episodes], observations, **how))

    def close(self) -> None:
        self._do(self._client.close())

    def flush(self, timeout_s: float = 10.0) -> bool:
        return self._do(self._client.flush(timeout_s))

    def episode(self, *args: Any, **kwargs: Any) -> Any:
        return _Context(self, self._client.episode(*args, **kwargs))


class _Context:
    def __init__(self, owner: Blocking, context: Any) -> None:
        self._owner, self._context = owner, context

    def __enter__(self) -> Any:
        self._episode = self._owner._do(self._context.__aenter__())
        return _Episode(self._owner, self._episode)

    def __exit__(self, *error: Any) -> None:
        self._owner._do(self._context.__aexit__(*error))


class _Episode:
    def __init__(self, owner: Blocking, episode: Any) -> None:
        self._owner, self._episode = owner, episode

    def act(self, observation: Any, **how: Any) -> Any:
        return self._owner._do(self._episode.act(observation, **how))

    def report(self, **outcomes: Any) -> None:
        async def inside_the_loop() -> None:
            self._episode.report(**outcomes)

        self._owner._do(inside_the_loop())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._episode, name)
