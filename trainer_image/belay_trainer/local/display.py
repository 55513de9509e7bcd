"""What a run shows while it goes: a bar per seed in a terminal, a line per evaluation elsewhere."""

from collections.abc import Sequence
from typing import Any, Protocol, TextIO

from tqdm import tqdm

from belay_trainer.local.progress import Phase, SeedState, words

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {words}"


class Display(Protocol):
    """Shows a run to somebody."""

    def show(self, seeds: Sequence[SeedState]) -> None:
        """Show how far the seeds are, the same ones in the same order every time."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def display_for(stream: TextIO) -> Display:
    """Return bars for a terminal, lines for a file or a pipe."""
    return Bars(stream) if stream.isatty() else Lines(stream)


class Bars:
    """A bar per seed, drawn in place; see `Display`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: list[_Bar] = []

    def show(self, seeds: Sequence[SeedState]) -> None:
        """Draw the bars."""
        if not self._bars:
            width = max(len(str(one.seed)) for one in seeds)
            self._bars = [
                _Bar(
                    total=one.total,
                    desc=f"seed {one.seed:>{width}}",
                    position=place,
                    bar_format=_FORMAT,
                    dynamic_ncols=True,
                    file=self._stream,
                )
                for place, one in enumerate(seeds)
            ]
        for bar, one in zip(self._bars, seeds, strict=True):
            bar.n = one.step
            bar.words = _short(words(one))
            bar.refresh()

    def say(self, line: str) -> None:
        """Write above the bars."""
        tqdm.write(line, file=self._stream)

    def close(self) -> None:
        """Leave the bars as they are, the cursor below them."""
        for bar in self._bars:
            bar.close()


class Lines:
    """A line when something happened to a seed; see `Display`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: dict[int, tuple[Phase, int | None]] = {}

    def show(self, seeds: Sequence[SeedState]) -> None:
        """Write a line for each seed that has begun, was evaluated or has ended since the last look."""
        for one in seeds:
            news = (one.phase, one.evaluation.step if one.evaluation else None)
            if one.phase is not Phase.WAITS and news != self._shown.get(one.seed):
                self._shown[one.seed] = news
                self.say(f"seed {one.seed}: timestep {one.step:,} of {one.total:,}: {words(one)}")

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
