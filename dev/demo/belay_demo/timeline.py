"""Print what happens, when, and how long it took, so that a person can follow along."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BOLD, _DIM, _GREEN, _RED, _OFF = (
    ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("",) * 5
)


class Timeline:
    """Lines with the seconds since the start in front; `took` remembers how long each part lasted."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.took: list[tuple[str, float]] = []

    def say(self, text: str, *, mark: str = " ") -> None:
        """Print one line."""
        print(f"{_DIM}{time.monotonic() - self._start:7.1f}s{_OFF} {mark} {text}", flush=True)

    def good(self, text: str) -> None:
        """Print something achieved."""
        self.say(f"{_GREEN}{text}{_OFF}", mark="+")

    def bad(self, text: str) -> None:
        """Print something that went wrong as it should, such as a rollback."""
        self.say(f"{_RED}{text}{_OFF}", mark="!")

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """Head a part of the demo and remember how long it took."""
        begin = time.monotonic()
        print(f"\n{_BOLD}== {title}{_OFF}", flush=True)
        yield
        self.took.append((title, time.monotonic() - begin))

    def summary(self) -> None:
        """Print every part with its time."""
        print(f"\n{_BOLD}== What took how long{_OFF}")
        for title, seconds in self.took:
            print(f"{seconds:7.1f}s  {title}")
        print(f"{time.monotonic() - self._start:7.1f}s  in all")
