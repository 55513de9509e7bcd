"""The asyncio client: `sync` again, with tasks for threads. What they share is in `core` and `reports`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx

from belay_api.names import RECEIPT_HEADER
from belay_client import core, reports
from belay_client.core import Answer, EpisodeMemory
from belay_client.credentials import Credentials, Logbook, logbook
from belay_client.episode import ReportedEpisode
from belay_client.sync import LOGBOOK_TIMEOUT_S


class AsyncEpisode(ReportedEpisode):
    """One episode; make it with `AsyncClient.episode`."""

    def __init__(self, client: "AsyncClient", memory: EpisodeMemory, *, deterministic: bool) -> None:
        super().__init__(client, memory)
        self._client = client
        self._deterministic = deterministic

    async def act(self, observation: Any) -> Answer:
        """Return the action for an observation; see `belay_client.sync.Episode.act`."""
        [answer] = await self._client._ask([(self.memory, observation)], deterministic=self._deterministic)
        return answer


class AsyncClient:
    """Talks to one route from one event loop; use it as `async with`."""

    def __init__(
        self,
        url: str,
        *,
        fallback_action: Any,
        timeout_s: float = core.DEFAULT_TIMEOUT_S,
        logbook_url: str | None = None,
        logbook_namespace: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Set up; nothing is sent yet. Arguments as for `belay_client.Client`."""
        self._url = url
        self._fallback = fallback_action
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=256))
        self._logbook = logbook(logbook_url, logbook_namespace, credentials)
        self.outbox = reports.Outbox()
        self._changed = asyncio.Condition()
        self._filled = asyncio.Event()
        self._sending = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def episode(
        self, episode_id: str | None = None, *, deterministic: bool = True
    ) -> AsyncIterator[AsyncEpisode]:
        """Begin an episode: all its decisions are made by one version, unless that version is taken back."""
        yield AsyncEpisode(self, EpisodeMemory(episode_id), deterministic=deterministic)

    async def predict(self, observations: Sequence[Any], *, deterministic: bool = True) -> list[Answer]:
        """Return one answer per observation, in one request; they belong to no episode and cannot be judged."""
        items = [{"observation": each, "deterministic": deterministic} for each in observations]
        return [answer for answer, _ in await self._post(items, {})] if items else []

    async def act_many(self, episodes: Sequence[AsyncEpisode], observations: Sequence[Any]) -> list[Answer]:
        """Return one answer per episode, in one request per version; first decisions go alone. For vectorised use."""
        memories = [episode.memory for episode in episodes]
        groups = [
            [place for place, memory in enumerate(memories) if memory.pin == pin]
            for pin in dict.fromkeys(memory.pin for memory in memories)
        ]
        asked = await asyncio.gather(
            *(
                self._ask([(memories[place], observations[place]) for place in places], deterministic=True)
                for places in groups
            )
        )
        answers = {
            place: answer
            for places, given in zip(groups, asked, strict=True)
            for place, answer in zip(places, given, strict=True)
        }
        return [answers[place] for place in range(len(memories))]

    async def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the logbook has taken every outcome; False when it did not in time."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: not self._sending and not len(self.outbox))
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Send what is left, for at most ten seconds, and end."""
        await self.flush()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._http.aclose()

    async def _ask(self, asked: Sequence[tuple[EpisodeMemory, Any]], *, deterministic: bool) -> list[Answer]:
        items = [memory.item(observation, deterministic=deterministic) for memory, observation in asked]
        answers = await self._post(items, asked[0][0].headers())
        for (memory, _), (answer, receipt) in zip(asked, answers, strict=True):
            memory.take(answer, receipt)
        return [answer for answer, _ in answers]

    async def _post(self, items: list[dict[str, Any]], headers: dict[str, str]) -> list[tuple[Answer, str | None]]:
        content = core.body(items[0] if len(items) == 1 else items)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._http.post(self._url, content=content, headers=headers)
                if response.status_code == core.TRY_AGAIN:
                    response = await self._http.post(self._url, content=content, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            why = f"{type(error).__name__}: {error or 'no answer in time'}"
            return [(core.failed(self._fallback, why), None)] * len(items)
        answers = core.read(response.content, status=response.status_code, count=len(items), fallback=self._fallback)
        if len(answers) == 1:
            return [(answers[0][0], answers[0][1] or response.headers.get(RECEIPT_HEADER))]
        return answers

    def _report(self, message: dict[str, Any]) -> None:
        if self._logbook is None:
            return
        self.outbox.put(message)
        self._filled.set()
        if self._task is None:
            self._task = asyncio.create_task(self._send(self._logbook), name="belay-outcomes")

    async def _send(self, to: Logbook) -> None:
        async with httpx.AsyncClient(timeout=LOGBOOK_TIMEOUT_S) as http:
            while True:
                await self._filled.wait()
                batch, self._sending = self.outbox.batch(), True
                if not len(self.outbox):
                    self._filled.clear()
                try:
                    response = await http.post(to.outcomes_url, content=reports.payload(batch), headers=to.headers())
                    status, content = response.status_code, response.content
                except (httpx.HTTPError, OSError):
                    status, content = 503, b""
                wait_s = self.outbox.settle(batch, status, content)
                if len(self.outbox):
                    self._filled.set()
                async with self._changed:
                    self._sending = False
                    self._changed.notify_all()
                if wait_s:
                    await asyncio.sleep(wait_s)
