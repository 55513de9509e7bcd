"""What a reader most likely meant by a word that nobody knows."""

import difflib
from collections.abc import Iterable

ALIKE = 0.6  # difflib's own measure of two words, from 0 to 1


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, whatever its case; None: none is like it.

    >>> nearest("a3c", ["ppo", "a2c", "sac"])
    'a2c'
    >>> nearest("PPO", ["ppo", "a2c", "sac"])
    'ppo'
    >>> nearest("reinforce", ["ppo", "a2c", "sac"])
    """
    wanted = word.casefold()

    def likeness(one: str) -> tuple[float, bool]:
        found = one.casefold()
        # Of equal ones that which begins alike: a typing error is seldom in the first letter.
        return difflib.SequenceMatcher(None, found, wanted).ratio(), found[:1] == wanted[:1]

    best = max(known, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= ALIKE else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence's end that names the nearest known word, or all of them where none is like it."""
    names = list(known)
    close = nearest(word, names)
    return f"did you mean {close!r}?" if close else f"known are {', '.join(names)}."
