"""Tell the logbook which episodes started: in the background, batched, never in the way of an answer.

The logbook learns an episode's start here and its end from the client; the difference is what is missing. A logbook
that is away costs nothing but memory, and that is bounded: beyond it the newest starts are dropped and counted, since
the oldest carry the windows a verdict is waiting for.
"""

import logging
import threading
from collections import deque
from pathlib import Path

import httpx
from pydantic import ValidationError

from belay_api.wire import API_PREFIX, MAX_BATCH, Batch, BatchResult, EpisodeStart

PERIOD_S = 0.25  # a start is known at the logbook within this time; the verdict's grace is at least a second
BUFFER = 100_000  # starts kept while the logbook is away: about 20 MB
TIMEOUT_S = 5.0
LONGEST_BACKOFF_S = 5.0

_log = logging.getLogger(__name__)


class StartReporter:
    """Sends receipts of first decisions to the logbook from a thread of its own."""

    def __init__(self, url: str, namespace: str, token_file: Path, *, period_s: float = PERIOD_S) -> None:
        self._url = f"{url}{API_PREFIX}/namespaces/{namespace}/starts"
        self._token_file = token_file
        self._period_s = period_s
        self._waiting: deque[str] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="starts", daemon=True)
        self.reported = 0
        self.dropped = 0  # the buffer was full, or the logbook refused them for good

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(self, receipt: str) -> None:
        """Remember one start; returns at once."""
        if len(self._waiting) >= BUFFER:
            self.dropped += 1
        else:
            self._waiting.append(receipt)

    def close(self, timeout_s: float = 1.0) -> None:
        """Send what is waiting, for at most `timeout_s`."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = self._period_s
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            while True:
                stopping = self._stop.wait(pause_s)
                problem = self._send_all(client)
                if problem is None:
                    pause_s = self._period_s
                else:
                    if pause_s == self._period_s:  # once per outage
                        _log.warning("episode starts are kept back, the logbook does not take them: %s", problem)
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
        taken = [self._waiting[index] for index in range(min(MAX_BATCH, len(self._waiting)))]
        batch = Batch[EpisodeStart](items=[EpisodeStart(receipt=receipt) for receipt in taken])
        try:
            answer = client.post(self._url, content=batch.model_dump_json(by_alias=True), headers=self._headers())
        except (httpx.HTTPError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        known = answer.is_success or answer.is_client_error
        if not known or answer.status_code in (401, 403, 404, 408, 429):
            return f"{answer.status_code} {answer.text[:200]}"  # rights and services come back; receipts stay true
        try:
            refused = len(BatchResult.model_validate_json(answer.content).refused) if answer.is_success else len(taken)
        except ValidationError:  # somebody else at this address; this thread must outlive it
            return f"{answer.status_code}, but not as a logbook answers: {answer.text[:200]}"
        if refused:
            _log.warning("the logbook refused %d of %d episode starts: %s", refused, len(taken), answer.text[:200])
        self.dropped += refused
        self.reported += len(taken) - refused
        for _ in taken:
            self._waiting.popleft()
        return None

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self._token_file.is_file():  # read each time: the kubelet rotates it
            headers["authorization"] = f"Bearer {self._token_file.read_text().strip()}"
        return headers
