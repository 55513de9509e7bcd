"""Tell the logbook something in the background: batched, never in the way of an answer.

A logbook that is away costs nothing but memory, and that is bounded: beyond it the newest are dropped and counted.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import httpx
from pydantic import ValidationError

from belay_api.wire import API_PREFIX, MAX_BATCH, BatchResult

TIMEOUT_S = 5.0
LONGEST_BACKOFF_S = 5.0

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Reporter(ABC, Generic[T]):
    """Sends what it is given to one path of the logbook, from a thread of its own."""

    what: str
    """What it tells, for people."""
    path: str
    """Below the namespace."""
    most: int
    """How many are kept while the logbook is away."""
    at_once: int = MAX_BATCH
    """How many are sent in one batch."""

    def __init__(self, url: str, namespace: str, token_file: Path, *, period_s: float) -> None:
        self._url = f"{url}{API_PREFIX}/namespaces/{namespace}/{self.path}"
        self._token_file = token_file
        self._period_s = period_s
        self._waiting: deque[T] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.path, daemon=True)
        self.reported = 0
        self.dropped = 0  # the buffer was full, or the logbook refused them for good

    @abstractmethod
    def body(self, taken: Sequence[T]) -> bytes:
        """Return a batch as it is sent."""

    def headers(self, body: bytes) -> dict[str, str]:
        """Return further headers of a batch."""
        return {}

    def pause_over(self) -> None:
        """Do what is due once a period."""

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(self, one: T) -> None:
        """Remember one; returns at once."""
        if len(self._waiting) >= self.most:
            self.dropped += 1
        else:
            self._waiting.append(one)

    def close(self, timeout_s: float = 1.0) -> None:
        """Send what is waiting, for at most `timeout_s`."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = self._period_s
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            while True:
                stopping = self._stop.wait(pause_s)
                self.pause_over()
                problem = self._send_all(client)
                if problem is None:
                    pause_s = self._period_s
                else:
                    if pause_s == self._period_s:  # once per outage
                        _log.warning("%s are kept back, the logbook does not take them: %s", self.what, problem)
                    pause_s = min(pause_s * 2, LONGEST_BACKOFF_S)
                if stopping:
                    return

    def _send_all(self, client: httpx.Client) -> str | None:
        while self._waiting:
            if problem := self._send(client):
                return problem
        return None

    def _send(self, client: httpx.Client) -> str | None:
        """Send one batch; return why it has to be sent again, or None when it is done with."""
        taken = [self._waiting[index] for index in range(min(self.at_once, len(self._waiting)))]
        body = self.body(taken)
        headers = {"content-type": "application/json", **self._authorization(), **self.headers(body)}
        try:
            answer = client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        known = answer.is_success or answer.is_client_error
        if not known or answer.status_code in (401, 403, 404, 408, 429):
            return f"{answer.status_code} {answer.text[:200]}"  # rights and services come back; what is told stays true
        try:
            refused = len(BatchResult.model_validate_json(answer.content).refused) if answer.is_success else len(taken)
        except ValidationError:  # somebody else at this address; this thread must outlive it
            return f"{answer.status_code}, but not as a logbook answers: {answer.text[:200]}"
        if refused:
            _log.warning("the logbook refused %d of %d %s: %s", refused, len(taken), self.what, answer.text[:200])
        self.dropped += refused
        self.reported += len(taken) - refused
        for _ in taken:
            self._waiting.popleft()
        return None

    def _authorization(self) -> dict[str, str]:
        if not self._token_file.is_file():  # read each time: the kubelet rotates it
            return {}
        return {"authorization": f"Bearer {self._token_file.read_text().strip()}"}
