"""What a policy does while it collects, as metrics: the histogram of its actions."""

from typing import Any

import numpy as np
from gymnasium import spaces

ACTION = "action/"
BINS = 10  # of a box
MOST_CHOICES = 18  # whose shares are told; as many as Atari's joystick has


def of_actions(actions: np.ndarray, space: spaces.Space[Any]) -> dict[str, float]:
    """Return how often each choice was taken, or each part of a range; empty where there are none to count.

    Args:
        actions: (timesteps, numbers of an action); those that are no numbers are left out, and those of a box may lie
            beyond its bounds, and count as clipped.

    >>> of_actions(np.array([[0], [1], [1], [1]]), spaces.Discrete(3))
    {'action/0': 0.25, 'action/1': 0.75, 'action/2': 0.0}
    """
    actions = actions[np.isfinite(actions).all(axis=1)]  # of a policy that has just diverged none may be left
    if not len(actions):
        return {}
    if isinstance(space, spaces.Discrete) and space.n <= MOST_CHOICES:
        taken, count = actions.astype(int).ravel() - int(space.start), int(space.n)
    elif isinstance(space, spaces.Box) and space.is_bounded() and (space.low < space.high).all():
        low, high = space.low.ravel().astype(float), space.high.ravel().astype(float)
        count = BINS
        taken = np.clip(count * (actions - low) / (high - low), 0, count - 1).astype(int).ravel()
    else:
        return {}
    shares = np.bincount(taken, minlength=count) / taken.size
    return {f"{ACTION}{place}": float(share) for place, share in enumerate(shares)}
