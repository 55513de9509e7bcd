"""What policies remember of the episodes they are in.

A policy that remembers answers, behind its actions, what it remembers after them, one row for each episode, and is
given that row again with the episode's next observation. Nothing, or a row of zeros, begins an episode. Policies that
do not remember answer None and are given nothing, so whoever plays passes on what came.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from belay_api.artifact import RecurrentState


def described(shape: Sequence[int] | None) -> RecurrentState | None:
    """Return what the manifest says of a memory. Args: shape: Of one row; None: nothing is remembered."""
    return None if shape is None else RecurrentState(shape=list(shape))


def beginning(shape: Sequence[int] | None, episodes: int = 1) -> np.ndarray | None:
    """Return what is remembered as episodes begin, (episode, *shape). Args: shape: Of one row; None: nothing is."""
    return None if shape is None else np.zeros((episodes, *shape), np.float32)


def asked(
    network: Callable[..., Any], observations: np.ndarray, state: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what a network answers, and what is remembered then.

    Args:
        state: (batch, *shape), what was remembered before; None: the network takes observations alone.
    """
    return (network(observations), None) if state is None else network(observations, state)


def arguments(remembered: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """Return what a policy is given beside observations: `state` (episode, *shape), or nothing.

    Args:
        remembered: Of each episode; None: it begins, or the policy does not remember.
    """
    known = next((one for one in remembered if one is not None), None)
    if known is None:
        return {}
    return {"state": np.stack([np.zeros_like(known) if one is None else one for one in remembered])}


def of_each(answered: Any, episodes: int) -> Sequence[np.ndarray | None]:
    """Return what is remembered of each episode. Args: answered: By `predict`, behind the actions."""
    return [None] * episodes if answered is None else answered
