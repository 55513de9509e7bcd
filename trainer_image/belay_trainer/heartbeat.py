"""Progress told to the logbook behind the training's back. What it cannot take in time is dropped: it is told again."""

import logging
import threading
from collections import deque
from typing import Protocol

import httpx

from belay_api.wire import API_PREFIX, Batch, RunProgress

PERIOD_S = 2.0  # one request at most this often: a status is written no more often, and each costs milliseconds
LONGEST_WAIT_S = 30.0
KEPT = 100  # heartbeats that wait for a lost logbook; the oldest go first
log = logging.getLogger(__name__)


class ProgressSink(Protocol):
    """Whoever is told how far a training is."""

    def tell(self, progress: RunProgress) -> None:
        """Take a heartbeat; never waits."""

    def close(self) -> None:
        """Tell what is left."""


class Heartbeat:
    """A bounded queue and the thread that empties it; see `ProgressSink`."""

    def __init__(self, client: httpx.Client | None, namespace: str) -> None:
        self._client = client
        self._path = f"{API_PREFIX}/namespaces/{namespace}/progress"
        self._waiting: deque[RunProgress] = deque(maxlen=KEPT)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        if client is not None:
            self._thread.start()

    def tell(self, progress: RunProgress) -> None:
        """Queue a heartbeat; never waits."""
        self._waiting.append(progress)

    def close(self) -> None:
        """Try once to tell what is left, for two seconds at most."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        wait = PERIOD_S
        while not self._closing.wait(wait):
            wait = PERIOD_S if self._send() else min(2 * wait, LONGEST_WAIT_S)
        self._send()

    def _send(self) -> bool:
        items = list(self._waiting)
        if not items or self._client is None:
            return True
        try:
            answer = self._client.post(self._path, json=Batch[RunProgress](items=items).said(), timeout=5.0)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            log.warning("the logbook does not take progress, training goes on: %s", error)
            return False
        for item in items:
            if self._waiting and self._waiting[0] is item:  # not pushed out meanwhile
                self._waiting.popleft()
        return True
