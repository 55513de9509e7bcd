"""How long to leave alone what has failed; the one rule for passes, pollers and receivers."""

import random
from datetime import timedelta

FIRST_BACKOFF = timedelta(milliseconds=200)
LONGEST_BACKOFF = timedelta(minutes=2)


def backoff(
    failures: int, rng: random.Random, *, first: timedelta = FIRST_BACKOFF, longest: timedelta = LONGEST_BACKOFF
) -> timedelta:
    """Return the pause after so many failures of one trouble: doubling, capped, times a random 0.5 to 1.

    Args:
        first: The pause after one failure, before the random part.
        longest: The cap.
    """
    full: timedelta = min(longest, first * 2 ** min(failures - 1, 20))
    return full * rng.uniform(0.5, 1.0)
