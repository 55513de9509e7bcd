"""What is known of an episode's outcomes before a policy serves: what training saw, and what the task makes certain.

The artifact carries it from the training to whoever judges the policy.
"""

from belay_api.model import StatusModel


class Played(StatusModel):
    """One outcome over some episodes."""

    episodes: int
    """How many."""
    mean: float
    """Their mean."""
    std: float
    """Standard deviation over episodes."""
    min: float
    """Lowest."""
    max: float
    """Highest."""


class CertainRange(StatusModel):
    """Between what every outcome lies, whatever a policy does; an end that is absent is not known."""

    low: float | None = None
    """No outcome is below."""
    high: float | None = None
    """No outcome is above."""


class KnownOutcome(StatusModel):
    """What is known of one outcome."""

    random: Played | None = None
    """Of actions drawn uniformly, before training; absent where these episodes would not end in reasonable time."""
    evaluated: Played
    """Of the published checkpoint, greedy."""
    low: float
    """Lowest of all that was played: the random episodes and every evaluation of the training."""
    high: float
    """Highest of all that was played."""
    certain: CertainRange | None = None
    """What the rewards' limits and the cap on timesteps make certain; absent: nothing."""


class RandomReturn(StatusModel):
    """What actions drawn uniformly return: what a policy has to be better than."""

    mean: float
    """Mean return."""
    episodes: int
    """Over so many episodes."""
    std: float | None = None
    """Standard deviation over episodes; absent: an earlier trainer did not tell."""


def certain_return(low: float | None, high: float | None, cap: int | None) -> CertainRange | None:
    """Return between what every return lies; None: nothing is certain.

    A return is the undiscounted sum of 1 to `cap` rewards. So an end whose rewards are on the far side of 0 is reached
    by the longest episode, and one on the near side by the shortest.

    Args:
        low, high: Of every single reward; None: not known.
        cap: Most timesteps of an episode; None: there is no cap.

    >>> certain_return(0, 1, 500), certain_return(-16.3, 0, 200)
    (CertainRange(low=0.0, high=500.0), CertainRange(low=-3260.0, high=0.0))
    >>> certain_return(-1, 1, None) is None, certain_return(1, 2, None)
    (True, CertainRange(low=1.0, high=None))
    """
    # Where 1 and `cap` rewards are both possible, the farther of the two; without a cap only the nearer is one.
    lowest = None if low is None else low if low >= 0 else None if cap is None else low * cap
    highest = None if high is None else high if high <= 0 else None if cap is None else high * cap
    if lowest is None and highest is None:
        return None
    return CertainRange(low=lowest, high=highest)
