"""The blocking client. Outcomes are sent by one background thread."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import httpx

from belay_api.names import RECEIPT_HEADER
from belay_client import core, reports
from belay_client.core import Answer, EpisodeMemory
from belay_client.credentials import Credentials, Logbook, logbook
from belay_client.episode import ReportedEpisode

LOGBOOK_TIMEOUT_S = 10.0


class Episode(ReportedEpisode):
    """One episode; make it with `Client.episode`."""

    def __init__(self, client: "Client", memory: EpisodeMemory, *, deterministic: bool) -> None:
        super().__init__(client, memory)
        self._client = client
        self._deterministic = deterministic

    def act(self, observation: Any) -> Answer:
        """Return the action for an observation: nested lists or an array in the shape of the observation space.

        Never raises for a policy that does not answer: see `Answer.fallback`.
        """
        [answer] = self._client._ask([(self.memory, observation)], deterministic=self._deterministic)
        return answer


class Client:
    """Talks to one route. Safe to use from several threads; make one per process."""

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
        """Set up; nothing is sent yet.

        Args:
            url: The route, e.g. `http://gateway/predictions/cartpole`.
            fallback_action: The safe default action, taken whenever the policy does not answer well in time.
            timeout_s: Longest wait for a decision, in seconds.
            logbook_url: Where outcomes go; None: the environment's BELAY_LOGBOOK_URL, and without it nowhere.
            logbook_namespace: Namespace of the policies; None: BELAY_NAMESPACE.
            credentials: None: the pod's projected token.
        """
        self._url = url
        self._fallback = fallback_action
        self._timeout_s = timeout_s
        self._http = httpx.Client(limits=httpx.Limits(max_connections=256))
        self._logbook = logbook(logbook_url, logbook_namespace, credentials)
        self.outbox = reports.Outbox()
        self._changed = threading.Condition()
        self._closing = False
        self._sending = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def episode(self, episode_id: str | None = None, *, deterministic: bool = True) -> Iterator[Episode]:
        """Begin an episode: all its decisions are made by one version, unless that version is taken back."""
        yield Episode(self, EpisodeMemory(episode_id), deterministic=deterministic)

    def predict(self, observations: Sequence[Any], *, deterministic: bool = True) -> list[Answer]:
        """Return one answer per observation, in one request; they belong to no episode and cannot be judged."""
        items = [{"observation": each, "deterministic": deterministic} for each in observations]
        return [answer for answer, _ in self._post(items, {})] if items else []

    def act_many(self, episodes: Sequence[Episode], observations: Sequence[Any]) -> list[Answer]:
        """Return one answer per episode, in one request per version; first decisions go alone. For vectorised use."""
        memories = [episode.memory for episode in episodes]
        answers: dict[int, Answer] = {}
        for pin in dict.fromkeys(memory.pin for memory in memories):
            places = [place for place, memory in enumerate(memories) if memory.pin == pin]
            asked = self._ask([(memories[place], observations[place]) for place in places], deterministic=True)
            answers |= dict(zip(places, asked, strict=True))
        return [answers[place] for place in range(len(memories))]

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the logbook has taken every outcome; False when it did not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unsent(), timeout_s)

    def close(self) -> None:
        """Send what is left, for at most ten seconds, and end."""
        self.flush()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread:
            self._thread.join()
        self._http.close()

    def _ask(self, asked: Sequence[tuple[EpisodeMemory, Any]], *, deterministic: bool) -> list[Answer]:
        """Ask for one decision of each episode; all of them are pinned to the same version."""
        items = [memory.item(observation, deterministic=deterministic) for memory, observation in asked]
        answers = self._post(items, asked[0][0].headers())
        for (memory, _), (answer, receipt) in zip(asked, answers, strict=True):
            memory.take(answer, receipt)
        return [answer for answer, _ in answers]

    def _post(self, items: list[dict[str, Any]], headers: dict[str, str]) -> list[tuple[Answer, str | None]]:
        content = core.body(items[0] if len(items) == 1 else items)
        deadline = core.Deadline(self._timeout_s)
        try:
            response, received = self._send_now(content, headers, deadline)
            if response.status_code == core.TRY_AGAIN:
                response, received = self._send_now(content, headers, deadline)
        except httpx.HTTPError as error:
            why = f"{type(error).__name__}: {error or 'no answer in time'}"
            return [(core.failed(self._fallback, why), None)] * len(items)
        answers = core.read(received, status=response.status_code, count=len(items), fallback=self._fallback)
        if len(answers) == 1:
            return [(answers[0][0], answers[0][1] or response.headers.get(RECEIPT_HEADER))]
        return answers

    def _send_now(
        self, content: bytes, headers: dict[str, str], deadline: core.Deadline
    ) -> tuple[httpx.Response, bytes]:
        request = self._http.build_request(
            "POST", self._url, content=content, headers=headers, extensions={"timeout": deadline}
        )
        response = self._http.send(request, stream=True)
        try:
            received = []
            for piece in response.iter_bytes():
                if deadline.passed:  # a server that trickles would pass each single wait
                    raise httpx.ReadTimeout("no whole answer in time", request=request)
                received.append(piece)
        finally:
            response.close()
        return response, b"".join(received)

    def _report(self, message: dict[str, Any]) -> None:
        if self._logbook is None:
            return
        with self._changed:
            self.outbox.put(message)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._send, args=(self._logbook,), name="belay-outcomes", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def _unsent(self) -> bool:
        return len(self.outbox) > 0 or self._sending

    def _send(self, to: Logbook) -> None:
        with httpx.Client(timeout=LOGBOOK_TIMEOUT_S) as http:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or len(self.outbox) > 0)
                    if self._closing:
                        return
                    batch, self._sending = self.outbox.batch(), True
                try:
                    response = http.post(to.outcomes_url, content=reports.payload(batch), headers=to.headers())
                    status, content = response.status_code, response.content
                except (httpx.HTTPError, OSError):
                    status, content = 503, b""
                with self._changed:
                    wait_s = self.outbox.settle(batch, status, content)
                    self._sending = False
                    self._changed.notify_all()
                    if wait_s:
                        self._changed.wait_for(lambda: self._closing, wait_s)
