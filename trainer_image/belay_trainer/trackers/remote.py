"""Trackers of other makers, each in a process of its own that is fed lines and never waited for.

Their clients are threads, retries and exit hooks that nobody here has written: in the training's process they could
draw from its random generators, hold its interpreter, or keep it from ending. So the client lives in a child
(`child.py`), and between it and the training is a bounded queue. What the child cannot take in time is dropped, oldest
first, and that is said once.
"""

import json
import logging
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO, Any

KEPT = 4_000  # rows that wait; a training has about a thousand, so a tracker may be away for all of it
CHILD = (sys.executable, "-m", "belay_trainer.trackers.child")
log = logging.getLogger(__name__)


class Remote:
    """See `trackers.tracker.Tracker`."""

    def __init__(self, opening: Mapping[str, Any], *, command: Sequence[str] = CHILD, kept: int = KEPT) -> None:
        """Nothing is started yet.

        Args:
            opening: What the child is told first: see `child.Opening`; `step` is added.
            command: That starts the child.
            kept: Rows that may wait.
        """
        self._opening, self._command, self._kept = dict(opening), command, kept
        self._title = str(opening.get("kind"))
        self._rows: deque[str] = deque()
        self._changed = threading.Condition()
        self._closing = self._warned = False
        self._child: subprocess.Popen[bytes] | None = None
        self._feeder: threading.Thread | None = None

    def begin(self, step: int) -> None:
        """Start the child, which finds out by itself what it has been told before."""
        # In a session of its own: a ctrl-C is the training's, and the child ends when its input does.
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self._rows.append(json.dumps(self._opening | {"step": step}))
        self._feeder = threading.Thread(target=self._feed, args=(self._child.stdin,), name="tracker", daemon=True)
        self._feeder.start()

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Queue a row; never waits."""
        with self._changed:
            self._rows.append(json.dumps({"step": step, "metrics": dict(metrics)}))
            if len(self._rows) > self._kept:
                self._rows.popleft()
                self._warn("does not take rows in time: the oldest are dropped, training goes on")
            self._changed.notify_all()

    def close(self, patience_s: float) -> None:
        """Give what is left a little time, then go."""
        until = time.monotonic() + patience_s
        if self._child is None or self._feeder is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._feeder.join(patience_s)
        try:
            self._child.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._warn("does not answer: what it has not been told by now is lost")
            self._child.kill()
            self._child.wait()

    def _feed(self, pipe: IO[bytes]) -> None:
        try:
            with pipe:
                while (line := self._next()) is not None:
                    pipe.write(line.encode() + b"\n")
                    pipe.flush()
        except OSError:  # nobody reads any more
            self._warn("has ended: no more curves go there, training goes on")

    def _next(self) -> str | None:
        """Return the next line, waiting for it; None: none will follow."""
        with self._changed:
            self._changed.wait_for(lambda: self._rows or self._closing)
            return self._rows.popleft() if self._rows else None

    def _warn(self, words: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("tracking.%s %s", self._title, words)
