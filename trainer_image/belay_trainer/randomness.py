"""The process's random number generators: taken down, put back, left alone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """Return the state of every global generator a training draws from."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # SB3: order of minibatches, epsilon, replay
        "torch": torch.get_rng_state(),  # SB3: sampled actions
        "cuda": [state.cpu() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put every global generator where `random_state` found it."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])  # this pod may have fewer of them


@contextmanager
def untouched() -> Iterator[None]:
    """Let the block draw what it likes: the training after it draws as if the block had not been."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
