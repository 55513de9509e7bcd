"""Progress told to the logbook behind the training's back. What it cannot take in time is dropped: it is told again.

With it goes what this pod waits for, also while nobody has anything to tell: before a training, or after it.
"""

import logging
import threading
from collections import deque
from typing import Protocol

import httpx

from belay_api.wire import API_PREFIX, Batch, RunProgress
from belay_trainer.waits import Waits

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

    def __init__(
        self,
        client: httpx.Client | None,
        namespace: str,
        *,
        waits: Waits | None = None,
        waiting: RunProgress | None = None,
    ) -> None:
        """Begin to tell.

        Args:
            client: Of the logbook; None: nobody hears.
            waits: What this pod waits for; None: nothing.
            waiting: What to tell with it before the first heartbeat, at step 0; None: nothing.
        """
        self._client = client
        self._waits, self._waiting_pod = waits or Waits(), waiting
        self._newest: RunProgress | None = None
        self._obstacle: str | None = None  # as it was queued last
        self._path = f"{API_PREFIX}/namespaces/{namespace}/progress"
        self._queue: deque[RunProgress] = deque(maxlen=KEPT)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        if client is not None:
            self._thread.start()

    def tell(self, progress: RunProgress) -> None:
        """Queue a heartbeat; never waits."""
        self._newest = progress
        self._obstacle = self._waits.words
        self._queue.append(progress.model_copy(update={"obstacle": self._obstacle}))

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

    def _tell_obstacle(self) -> None:
        """Queue the newest heartbeat again where what is waited for is another."""
        words = self._waits.words
        newest = self._newest or (self._waiting_pod if words is not None else None)
        if newest is not None and words != self._obstacle:
            self._obstacle = words
            self._queue.append(newest.model_copy(update={"obstacle": words}))

    def _send(self) -> bool:
        self._tell_obstacle()
        items = list(self._queue)
        if not items or self._client is None:
            return True
        try:
            answer = self._client.post(self._path, json=Batch[RunProgress](items=items).said(), timeout=5.0)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            log.warning("the logbook does not take progress, training goes on: %s", error)
            return False
        for item in items:
            if self._queue and self._queue[0] is item:  # not pushed out meanwhile
                self._queue.popleft()
        return True
