"""The asyncio client: `sync` again, with tasks for threads."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

from belay_client import reports
from belay_client.base import FLUSH_S, LOGBOOK_TIMEOUT_S, BaseClient, in_place
from belay_client.core import Answer, EpisodeMemory
from belay_client.credentials import Logbook
from belay_client.episode import ReportedEpisode
from belay_client.lines import FAILURES, AsyncLine, Deadline, Reply
from belay_client.question import BadObservation, Question


class AsyncEpisode(ReportedEpisode):
    """One episode; make it with `AsyncClient.episode`."""

    def __init__(self, client: "AsyncClient", memory: EpisodeMemory) -> None:
        super().__init__(client, memory)
        self._client = client
        self._own: tuple[AsyncLine, AsyncLine] | None = None  # the client's line, and that of this episode beside it

    async def act(self, observation: Any, *, mask: Any = None) -> Answer:
        """Return the action for an observation; see `belay_client.sync.Episode.act`."""
        [answer] = await self._client._ask(self._client._about([self.memory], [observation], [mask]), self._line)
        return answer

    @property
    def _line(self) -> AsyncLine:
        """The client's, or one of its own; after a fork another one, as the client's is."""
        shared = self._client._line
        if self.memory.rollout is None:
            return shared
        if self._own is None or self._own[0] is not shared:
            self._own = (shared, AsyncLine(self._client._url, beside=shared))
        return self._own[1]

    async def _end(self) -> None:
        if self._own is not None and self._own[0] is self._client._line:
            await self._own[1].close()


class AsyncClient(BaseClient):
    """Talks to one route from one event loop; use it as `async with`."""

    def _open(self) -> None:
        self._line = AsyncLine(self._url)
        self._changed = asyncio.Condition()
        self._filled = asyncio.Event()
        self._closing = False
        self._sending = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def episode(
        self, episode_id: str | None = None, *, deterministic: bool = True, user: str | None = None
    ) -> AsyncIterator[AsyncEpisode]:
        """Begin an episode: all its decisions are made by one version, unless that version is taken back.

        Args:
            user: Who it is of, where users stay with one version (`assignment: User`): any text that tells them apart,
                the same each time. Only a hash of it is sent. None: nobody's.
        Raises: ValueError for an empty `user`.
        """
        memory = EpisodeMemory(episode_id, deterministic=deterministic, rollout=self.rollout, user=user)
        made = AsyncEpisode(self, memory)
        try:
            yield made
        finally:
            await made._end()

    async def predict(
        self, observations: Sequence[Any], *, masks: Sequence[Any] | None = None, deterministic: bool = True
    ) -> list[Answer]:
        """Return one answer per observation, in one request; they belong to no episode and cannot be judged."""
        return (
            await self._ask(self._about_none(observations, masks, deterministic=deterministic), self._line)
            if len(observations)
            else []
        )

    async def act_many(
        self, episodes: Sequence[AsyncEpisode], observations: Sequence[Any], *, masks: Sequence[Any] | None = None
    ) -> list[Answer]:
        """Return one answer per episode, in one request per version; first decisions go alone. For vectorised use.

        The requests run side by side. Raises: ValueError unless there is one observation of each episode.
        """
        groups = self._by_version(episodes, observations, masks)
        asked = await asyncio.gather(*(self._ask(question, episodes[places[0]]._line) for places, question in groups))
        return in_place((places, answers) for (places, _), answers in zip(groups, asked, strict=True))

    async def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until the logbook has taken every outcome; False when it did not in time."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: not (self._sending or len(self.outbox)))
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Send what is left, for at most ten seconds, and end."""
        await self.flush(FLUSH_S)
        self._closing = True
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._line.close()

    async def _ask(self, question: Question, line: AsyncLine) -> list[Answer]:
        deadline = Deadline(self._timeout_s)
        answers = question.answers(await self._sent(question, line, deadline))
        if question.unread:
            again = question.without_state()
            came = await self._sent(again, line, deadline)
            for place, answer in zip(question.unread, again.answers(came), strict=True):
                answers[place] = replace(answer, state_lost=True)
        return answers

    async def _sent(self, question: Question, line: AsyncLine, deadline: Deadline) -> Reply | Exception:
        try:
            return await line.send(question.content(), question.headers, deadline.same_end())
        except (*FAILURES, BadObservation) as error:
            return error

    def _report(self, message: dict[str, Any]) -> None:
        if self._logbook is None:
            return
        if self._closing:
            raise RuntimeError("the client is closed and nobody would send this outcome: report before closing it")
        self.outbox.put(message)
        self._filled.set()
        if self._task is None:
            self._task = asyncio.create_task(self._send(self._logbook), name="belay-outcomes")

    async def _send(self, to: Logbook) -> None:
        line = AsyncLine(to.outcomes_url)
        try:
            while True:
                await self._filled.wait()
                batch, self._sending = self.outbox.batch(), True
                try:
                    deadline = Deadline(LOGBOOK_TIMEOUT_S)
                    came: Reply | Exception = await line.send(reports.payload(batch), to.headers(), deadline)
                except (*FAILURES, ValueError) as error:
                    came = error
                wait_s = self.outbox.settle(batch, came)
                if not len(self.outbox):
                    self._filled.clear()
                async with self._changed:
                    self._sending = False
                    self._changed.notify_all()
                if wait_s:
                    await asyncio.sleep(wait_s)
        finally:
            await line.close()
