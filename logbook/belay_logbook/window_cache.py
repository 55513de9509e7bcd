"""Windows that are past grace, remembered until an episode of theirs is written again.

Readers compute from a snapshot while the writer goes on. So the writer notes after each commit which minutes of which
version it touched, and a reader may only remember windows that were not touched since its snapshot began.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

_MINUTE_MS = 60_000
NOTES = 20_000  # commits remembered; a reader slower than that many commits remembers nothing
KEYS = 512  # (version, outcome, window, grace) combinations kept


class WindowKey(NamedTuple):
    """What a remembered number depends on, beside the window's start."""

    version: int
    outcome: str
    window_ms: int
    grace_ms: int


@dataclass(frozen=True, slots=True)
class Window:
    """Numbers of one version and window."""

    count: int
    missing: int
    late: int
    moved: int
    mean: float | None
    m2: float
    min: float | None
    max: float | None
    longest_ms: int | None


class WindowCache:
    """Thread-safe; of one process, because one process writes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[WindowKey, dict[int, Window]] = {}
        self._notes: deque[tuple[int, frozenset[tuple[int, int]]]] = deque(maxlen=NOTES)
        self._mark = 0

    def touch(self, episodes: Iterable[tuple[int, int]]) -> None:
        """Forget the windows of these (version, start in ms). Called after the commit and before it is answered."""
        minutes = frozenset((version, started // _MINUTE_MS) for version, started in episodes)
        with self._lock:
            self._mark += 1
            self._notes.append((self._mark, minutes))
            for key, windows in self._windows.items():
                for start in _hit(key, minutes, windows):
                    windows.pop(start)

    def known(self, key: WindowKey) -> tuple[dict[int, Window], int]:
        """Return the remembered windows by start, and a mark for `remember`."""
        with self._lock:
            return dict(self._windows.get(key, {})), self._mark

    def remember(self, key: WindowKey, windows: dict[int, Window], mark: int) -> None:
        """Keep `windows`, but for those that were touched since `mark`."""
        with self._lock:
            if not windows or (self._notes and self._notes[0][0] > mark + 1):
                return
            fresh = dict(windows)
            for number, minutes in reversed(self._notes):
                if number <= mark:
                    break
                for start in _hit(key, minutes, fresh):
                    fresh.pop(start)
            while len(self._windows) >= KEYS and key not in self._windows:
                self._windows.pop(next(iter(self._windows)))
            self._windows.setdefault(key, {}).update(fresh)


def _hit(key: WindowKey, minutes: frozenset[tuple[int, int]], windows: dict[int, Window]) -> set[int]:
    hit: set[int] = set()
    for version, minute in minutes:
        if version == key.version:
            first = minute * _MINUTE_MS // key.window_ms * key.window_ms
            # A window shorter than a minute: every one that the minute overlaps.
            hit.update(range(first, (minute + 1) * _MINUTE_MS, key.window_ms))
    return hit & windows.keys()
