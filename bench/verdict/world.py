"""A world on a time axis: episodes arrive, last as long as their returns say, and end or fall silent.

Everything is drawn for many rollouts at once and kept flat, one row an episode. Both sides live in the same world;
`sink` takes returns down for both alike, while the candidate's share of the traffic follows the ramp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LANDING, CRASH = (230.0, 30.0), (-60.0, 70.0)  # bimodal: mean and sd of LunarLander-like landings and crashes
SILENT_QUANTILE = 0.25  # a silent candidate loses its worst quarter


@dataclass(frozen=True, slots=True)
class World:
    """One line of load.yaml under `worlds`."""

    returns: str  # normal, heavy, capped, bimodal, sparse or crashes
    mean: float  # of stable's returns, at the start
    cv: float  # standard deviation over mean; of crashes: their share; bimodal and sparse have their own
    arrivals_per_s: float  # of both sides together
    weights: tuple[float, ...]  # candidate's share over equal parts of the duration
    sink: float = 0.0  # by how much returns have fallen at the end, for both sides
    missing: float = 0.0  # share of episodes whose end is never reported, either side
    silent: bool = False  # the candidate's worst quarter is never reported
    exact: bool = False  # judged as a 0/1 outcome, by betting; else as a mean

    @classmethod
    def read(cls, values: dict[str, Any]) -> World:
        """Strict: a misspelt key is an error."""
        return cls(**{**values, "weights": tuple(values["weights"])})


@dataclass(frozen=True, slots=True)
class Episodes:
    """Flat arrays, one entry an episode."""

    rollout: NDArray[np.int64]
    of_candidate: NDArray[np.bool_]
    start: Floats  # seconds since the candidate first had a weight
    end: Floats  # inf: never reported
    value: Floats  # the return


def simulate(
    world: World, *, drop: float, rollouts: int, duration: float, grace: float, rng: np.random.Generator
) -> Episodes:
    """Draw the episodes of many rollouts; the candidate's mean return is (1 - drop) of stable's at any time."""
    number = rng.poisson(world.arrivals_per_s * duration, rollouts)
    rollout = np.repeat(np.arange(rollouts), number)
    start = rng.random(rollout.size) * duration
    share = np.array(world.weights)[(start / duration * len(world.weights)).astype(int)]
    of_candidate = rng.random(rollout.size) < share

    level = 1 - world.sink * start / duration
    value = _draw(world, np.where(of_candidate, 1 - drop, 1.0), rng) * level
    # Longer for better returns, as in CartPole: 5 s to the cap, half of it for the usual return.
    length = np.clip(grace / 2 * value / (abs(world.mean) * level), 5, grace)
    reported = rng.random(rollout.size) >= world.missing
    if world.silent:
        reported &= ~(of_candidate & (value / level < np.quantile(value / level, SILENT_QUANTILE)))
    return Episodes(rollout, of_candidate, start, np.where(reported, start + length, np.inf), value)


def _draw(world: World, ability: Floats, rng: np.random.Generator) -> Floats:
    """Returns whose mean is ability * world.mean."""
    size, spread = ability.size, world.cv * world.mean
    if world.returns == "normal":
        return ability * np.maximum(rng.normal(world.mean, spread, size), 0)
    if world.returns == "heavy":  # Student's t with 3 degrees of freedom: variance 3, no third moment
        return ability * (world.mean + spread * rng.standard_t(3, size) / np.sqrt(3))
    if world.returns == "capped":  # half-trained CartPole: a gamma cut at 500, the mean taken by draw
        raw = np.minimum(rng.gamma(1 / world.cv**2, world.mean * world.cv**2, size), 500)
        return ability * raw
    if world.returns == "bimodal":  # worse means more crashes
        landed = rng.random(size) < (ability * world.mean - CRASH[0]) / (LANDING[0] - CRASH[0])
        return np.where(landed, rng.normal(*LANDING, size), rng.normal(*CRASH, size))
    if world.returns == "crashes":  # the full return or nothing; worse means more nothing
        full = world.mean / (1 - world.cv)
        return full * (rng.random(size) < ability * (1 - world.cv))
    if world.returns == "sparse":  # 1 at success, else 0
        return (rng.random(size) < ability * world.mean).astype(np.float64)
    raise ValueError(f"unknown distribution {world.returns!r}")
