"""Outcomes on their way to the logbook: kept until it has taken them, sent in batches. Pure; the clients do the I/O.

A logbook that is away loses nothing for as long as the buffer lasts; beyond that the oldest outcomes are dropped and
counted, so that an application never runs out of memory for a logbook's sake.
"""

import json
from collections import deque
from typing import Any

MAX_WAITING = 100_000  # outcomes, about 50 MB
BATCH = 1_000
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 10.0


class Outbox:
    """Outcomes not yet taken."""

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque()
        self._retry_s = FIRST_RETRY_S
        self.taken = 0
        self.dropped = 0  # the buffer was full
        self.refused: deque[str] = deque(maxlen=100)  # the logbook's words about outcomes it will never take

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: dict[str, Any]) -> None:
        """Add an outcome."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(message)

    def batch(self) -> list[dict[str, Any]]:
        """Take up to a batch of outcomes out; hand it to `settle` or `put_back`."""
        return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def settle(self, batch: list[dict[str, Any]], status: int, content: bytes) -> float | None:
        """Judge the logbook's answer to a batch; return how long to wait before the next try, None: go on at once."""
        if status in (200, 400, 403, 413, 422):
            self._note(batch, status, content)
            self._retry_s = FIRST_RETRY_S
            return None
        return self.put_back(batch)  # 401 as well: a token is rotated, a key file may be mended

    def put_back(self, batch: list[dict[str, Any]]) -> float:
        """Keep a batch that was not taken; return how long to wait before the next try."""
        self._waiting.extendleft(reversed(batch))
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        wait, self._retry_s = self._retry_s, min(self._retry_s * 2, LAST_RETRY_S)
        return wait

    def _note(self, batch: list[dict[str, Any]], status: int, content: bytes) -> None:
        try:
            answer = json.loads(content)
        except ValueError:
            answer = {}
        refused = [entry["error"]["message"] for entry in answer.get("refused", [])]
        if status != 200:
            refused = [answer.get("error", {}).get("message", f"HTTP {status}")] * len(batch)
        self.refused.extend(refused)
        self.taken += len(batch) - len(refused)


def payload(batch: list[dict[str, Any]]) -> bytes:
    """Return the request body of a batch."""
    return json.dumps({"items": batch}, separators=(",", ":")).encode()
