"""Outcomes on their way to the logbook: kept until it has taken them, sent in batches. Pure; the clients do the I/O.

A logbook that is away loses nothing for as long as the buffer lasts; beyond that the oldest outcomes are dropped and
counted, so that an application never runs out of memory for a logbook's sake.
"""

import json
from collections import deque
from typing import Any

from belay_client.lines import Reply, why

MAX_WAITING = 100_000  # outcomes, about 50 MB
BATCH = 1_000
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 10.0
_TOO_LARGE = 413
_FINAL = (400, 403, 422)  # not 401: a token is rotated, a key file may be mended


class Outbox:
    """Outcomes not yet taken."""

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque()
        self._batch = BATCH  # fewer once a gateway found that too large
        self._retry_s = FIRST_RETRY_S
        self.taken = 0
        self.dropped = 0  # the buffer was full
        self.refused: deque[str] = deque(maxlen=100)  # the logbook's words about outcomes it will never take
        self.trouble: str | None = None  # why the last batch must be sent again; None: it need not

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: dict[str, Any]) -> None:
        """Add an outcome."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(message)

    def batch(self) -> list[dict[str, Any]]:
        """Take up to a batch of outcomes out; hand it to `settle`."""
        return [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]

    def settle(self, batch: list[dict[str, Any]], came: Reply | Exception) -> float | None:
        """Judge what came of sending a batch; return how long to wait before the next try, None: go on at once.

        Only the logbook's own word ends an outcome. Anything else, a gateway's page with status 200 included, leaves
        the batch to be sent again: an outcome counts once however often it arrives.
        """
        if isinstance(came, Reply):
            if came.status == _TOO_LARGE and len(batch) > 1:
                self._batch = len(batch) // 2
                self._put_back(batch)
                return None
            refused = _refused(came, len(batch))
            if refused is not None:
                self.refused.extend(refused)
                self.taken += len(batch) - len(refused)
                self.trouble, self._retry_s = None, FIRST_RETRY_S
                return None
        self.trouble = why(came)
        self._put_back(batch)
        wait, self._retry_s = self._retry_s, min(self._retry_s * 2, LAST_RETRY_S)
        return max(wait, _retry_after(came))

    def _put_back(self, batch: list[dict[str, Any]]) -> None:
        self._waiting.extendleft(reversed(batch))
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1


def _refused(reply: Reply, count: int) -> list[str] | None:
    """Return why each outcome was refused that was; None when the answer is not the logbook's verdict on them."""
    if reply.status == _TOO_LARGE:  # a single one: whoever says so, it can never pass
        return [f"HTTP {_TOO_LARGE}"] * count
    try:
        said = json.loads(reply.content)
        if reply.status == 200:
            refused = [str(entry["error"]["message"]) for entry in said.get("refused", [])]
            return refused if said["accepted"] + len(refused) == count else None
        return [str(said["error"]["message"])] * count if reply.status in _FINAL else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _retry_after(came: Reply | Exception) -> float:
    """Return the seconds an answer asks for, within our own bound."""
    text = came.headers.get("retry-after", "") if isinstance(came, Reply) else ""
    return min(float(text), LAST_RETRY_S) if text.isdecimal() else 0.0


def payload(batch: list[dict[str, Any]]) -> bytes:
    """Return the request body of a batch."""
    return json.dumps({"items": batch}, separators=(",", ":")).encode()
