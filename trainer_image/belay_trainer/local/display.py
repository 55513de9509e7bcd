"""What a run shows while it goes: a bar per seed, or one for its search, in a terminal; lines of news elsewhere."""

from collections.abc import Sequence
from typing import Any, Protocol, TextIO

from tqdm import tqdm

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {words}"


class Shown(Protocol):
    """One thing that a run shows: a seed, or the search."""

    title: str
    """What it is called."""
    step: int
    """Units done."""
    total: int
    """Units asked for."""
    unit: str
    """What is counted: timestep or trial."""
    news: object
    """A line is written when this changes; None: there is none to tell."""
    text: str
    """What is said beside the bar."""


class Display(Protocol):
    """Shows a run to somebody."""

    def show(self, shown: Sequence[Shown]) -> None:
        """Show how far things are, the same ones in the same order every time."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def display_for(stream: TextIO) -> Display:
    """Return bars for a terminal, lines for a file or a pipe."""
    return Bars(stream) if stream.isatty() else Lines(stream)


class Bars:
    """A bar for each thing, drawn in place; see `Display`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: list[_Bar] = []

    def show(self, shown: Sequence[Shown]) -> None:
        """Draw the bars."""
        if not self._bars:
            width = max(len(one.title) for one in shown)
            self._bars = [
                _Bar(
                    total=one.total,
                    desc=one.title.ljust(width),
                    position=place,
                    bar_format=_FORMAT,
                    dynamic_ncols=True,
                    file=self._stream,
                )
                for place, one in enumerate(shown)
            ]
        for bar, one in zip(self._bars, shown, strict=True):
            bar.n = one.step
            bar.words = _short(one.text)
            bar.refresh()

    def say(self, line: str) -> None:
        """Write above the bars."""
        tqdm.write(line, file=self._stream)

    def close(self) -> None:
        """Leave the bars as they are, the cursor below them."""
        for bar in self._bars:
            bar.close()


class Lines:
    """A line when something happened; see `Display`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: dict[str, object] = {}  # the latest news by title

    def show(self, shown: Sequence[Shown]) -> None:
        """Write a line for each thing that has news since the last look."""
        for one in shown:
            if one.news is not None and one.news != self._told.get(one.title):
                self._told[one.title] = one.news
                self.say(f"{one.title}: {one.unit} {one.step:,} of {one.total:,}: {one.text}")

    def say(self, line: str) -> None:
        """Write a line."""
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing was drawn."""


class _Bar(tqdm):
    """A bar with words of ours behind it."""

    words = ""

    @property
    def format_dict(self) -> dict[str, Any]:
        """What its format may name."""
        return {**super().format_dict, "words": self.words}


def _short(text: str) -> str:
    """Return a text that leaves room for a bar."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"
