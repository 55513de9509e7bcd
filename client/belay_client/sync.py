"""The blocking client. Outcomes are sent by one background thread."""

import atexit
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

from belay_client import reports
from belay_client.base import FLUSH_S, LOGBOOK_TIMEOUT_S, BaseClient, in_place
from belay_client.core import Answer, EpisodeMemory
from belay_client.credentials import Logbook
from belay_client.episode import ReportedEpisode
from belay_client.lines import FAILURES, Deadline, Line, Reply
from belay_client.question import BadObservation, Question


class Episode(ReportedEpisode):
    """One episode; make it with `Client.episode`."""

    def __init__(self, client: "Client", memory: EpisodeMemory) -> None:
        super().__init__(client, memory)
        self._client = client
        self._own: tuple[Line, Line] | None = None  # the client's line, and that of this episode beside it

    def act(self, observation: Any, *, mask: Any = None) -> Answer:
        """Return the action for an observation: nested lists or an array in the shape of the observation space, of a
        Dict space a dict of those, of a Tuple a list.

        Never raises for a policy that does not answer: see `Answer.fallback`.

        Args:
            mask: Which actions are allowed now, 0 or 1 for each; None: the policy was trained without masks.
        """
        [answer] = self._client._ask(self._client._about([self.memory], [observation], [mask]), self._line)
        return answer

    @property
    def _line(self) -> Line:
        """The client's, or one of its own; after a fork another one, as the client's is."""
        shared = self._client._line
        if self.memory.rollout is None:
            return shared
        if self._own is None or self._own[0] is not shared:
            self._own = (shared, Line(self._client._url, beside=shared))
        return self._own[1]

    def _end(self) -> None:
        if self._own is not None and self._own[0] is self._client._line:
            self._own[1].close()


class Client(BaseClient):
    """Talks to one route. Safe to use from several threads; a forked process goes on with connections of its own."""

    def _open(self) -> None:
        self._line = Line(self._url)
        self._changed = threading.Condition()
        self._closing = False
        self._sending = False
        self._thread: threading.Thread | None = None
        _clients.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def episode(
        self, episode_id: str | None = None, *, deterministic: bool = True, user: str | None = None
    ) -> Iterator[Episode]:
        """Begin an episode: all its decisions are made by one version, unless that version is taken back.

        Args:
            user: Who it is of, where users stay with one version (`assignment: User`): any text that tells them apart,
                the same each time. Only a hash of it is sent. None: nobody's.
        Raises: ValueError for an empty `user`.
        """
        made = Episode(self, EpisodeMemory(episode_id, deterministic=deterministic, rollout=self.rollout, user=user))
        try:
            yield made
        finally:
            made._end()

    def predict(
        self, observations: Sequence[Any], *, masks: Sequence[Any] | None = None, deterministic: bool = True
    ) -> list[Answer]:
        """Return one answer per observation, in one request; they belong to no episode and cannot be judged."""
        return (
            self._ask(self._about_none(observations, masks, deterministic=deterministic), self._line)
            if len(observations)
            else []
        )

    def act_many(
        self, episodes: Sequence[Episode], observations: Sequence[Any], *, masks: Sequence[Any] | None = None
    ) -> list[Answer]:
        """Return one answer per episode, in one request per version; first decisions go alone. For vectorised use.

        The requests follow each other, each within the timeout. Raises: ValueError unless there is one observation of
        each episode.
        """
        groups = self._by_version(episodes, observations, masks)
        return in_place([(places, self._ask(question, episodes[places[0]]._line)) for places, question in groups])

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until the logbook has taken every outcome; False when it did not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._sending or len(self.outbox)), timeout_s)

    def close(self) -> None:
        """Send what is left, for at most ten seconds, and end."""
        atexit.unregister(self.close)
        with self._changed:  # held in between, or an outcome told there would be neither sent nor refused
            flushed = self.flush(FLUSH_S)
            self._closing = True
            self._changed.notify_all()
        if self._thread and flushed:  # else it may still wait for a logbook that does not answer
            self._thread.join()
        self._line.close()

    def _ask(self, question: Question, line: Line) -> list[Answer]:
        deadline = Deadline(self._timeout_s)
        answers = question.answers(self._sent(question, line, deadline))
        if question.unread:
            again = question.without_state()
            came = self._sent(again, line, deadline)
            for place, answer in zip(question.unread, again.answers(came), strict=True):
                answers[place] = replace(answer, state_lost=True)
        return answers

    def _sent(self, question: Question, line: Line, deadline: Deadline) -> Reply | Exception:
        try:
            return line.send(question.content(), question.headers, deadline)
        except (*FAILURES, BadObservation) as error:
            return error

    def _report(self, message: dict[str, Any]) -> None:
        if self._logbook is None:
            return
        with self._changed:
            if self._closing:
                raise RuntimeError("the client is closed and nobody would send this outcome: report before closing it")
            self.outbox.put(message)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._send, args=(self._logbook,), name="belay-outcomes", daemon=True
                )
                self._thread.start()
                atexit.register(self.close)  # a script that just ends has outcomes in hand; the thread dies with it
            self._changed.notify_all()

    def _send(self, to: Logbook) -> None:
        line = Line(to.outcomes_url)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or len(self.outbox) > 0)
                if self._closing:
                    return line.close()
                batch, self._sending = self.outbox.batch(), True
            try:
                came: Reply | Exception = line.send(reports.payload(batch), to.headers(), Deadline(LOGBOOK_TIMEOUT_S))
            except (*FAILURES, ValueError) as error:
                came = error
            with self._changed:
                wait_s = self.outbox.settle(batch, came)
                self._sending = False
                self._changed.notify_all()
                if wait_s:
                    self._changed.wait_for(lambda: self._closing, wait_s)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _begin_anew() -> None:
    """Leave connections, thread and outcomes to the process that was forked.

    On shared connections each process would read answers to the other's questions, and no thread survives a fork.
    """
    for client in list(_clients):
        if not client._closing:
            client.outbox = reports.Outbox()
            client._open()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_begin_anew)
