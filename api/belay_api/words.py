"""What a reader most likely meant by a word that nobody knows."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`; None: none is like it."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence's end that names the nearest known word, or all of them where none is like it."""
    names = list(known)
    close = nearest(word, names)
    return f"did you mean {close!r}?" if close else f"known are {', '.join(names)}."
