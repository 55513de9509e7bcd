"""What the terminal can show: so many columns, these characters, colours or none."""

import os
import shutil
import sys
from dataclasses import dataclass

FEWEST_COLUMNS, MOST_COLUMNS = 40, 120
_COLOURS = {"green": "32", "red": "31", "yellow": "33", "bold": "1", "faint": "2"}
_ASCII = str.maketrans(
    {"█": "#", "░": ".", "│": "|", "┤": "+", "└": "+", "─": "-"}
    | {"━": "=", "●": "o", "✓": "+", "▶": ">", "·": "-", "→": ">", "…": "~"}
)


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours, where they are wanted."""

    wanted: bool

    def __call__(self, text: str, colour: str) -> str:
        """Return the text in green, red, yellow, bold or faint."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.wanted else text


def is_one() -> bool:
    """Whether what is printed goes to a terminal that can be written anew."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def paint() -> Paint:
    """Return colours for a terminal that has them, unless NO_COLOR is set (https://no-color.org)."""
    return Paint(is_one() and not os.environ.get("NO_COLOR"))


def columns(width: int | None) -> int:
    """Return how wide to write; None: as wide as the terminal is."""
    wanted = min(MOST_COLUMNS, shutil.get_terminal_size().columns) if width is None else width
    return max(FEWEST_COLUMNS, wanted)


def show(text: str) -> None:
    """Print, in characters that the terminal has."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = in_ascii(text)
    print(text, flush=True)


def in_ascii(text: str) -> str:
    """Return the same for a terminal that knows nothing else."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()
