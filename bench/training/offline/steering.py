"""Controllers that logs are made by, for `belay-trainer collect`."""

import numpy as np


def balance(observation: np.ndarray) -> int:
    """Keep CartPole's pole up: it seldom falls in 500 timesteps."""
    cart, speed, angle, turning = observation
    return int(angle + 0.3 * turning + 0.05 * cart + 0.1 * speed > 0)


def topple(observation: np.ndarray) -> int:
    """Push the other way: it falls in ten timesteps."""
    return 1 - balance(observation)


def swing(observation: np.ndarray) -> np.ndarray:
    """Swing Pendulum up by its energy, and hold it: about -160 an episode."""
    cosine, sine, speed = (float(value) for value in observation)
    if cosine > 0.9:
        return np.clip([-10.0 * np.arctan2(sine, cosine) - 2.0 * speed], -2.0, 2.0)
    missing = 15.0 - (speed**2 / 2 + 15.0 * cosine)  # of the energy that it has upright and at rest
    return np.array([2.0 * np.sign(missing) * (1.0 if speed >= 0 else -1.0)])
