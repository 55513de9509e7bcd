"""A world on a time axis: episodes arrive, last as long as their returns say, and end or fall silent.

Everything is drawn for many rollouts at once and kept flat, one row an episode. Both sides live in the same world;
`sink` takes returns down for both alike, while the candidate's share of the traffic follows the ramp.

Where there are `users`, each has an ability of her own, comes back, and stays on the side that her bucket puts her on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mixture = tuple[tuple[float, float, float], ...]
"""(share, mean, standard deviation) of each part."""

LANDING, CRASH = (230.0, 30.0), (-60.0, 70.0)  # bimodal: mean and sd of LunarLander-like landings and crashes
FIFTHS = (-0.8416, -0.2533, 0.2533, 0.8416)  # between the fifths of a standard normal
LONGEST = 0.99  # of grace: an episode that lasts exactly as long is late by a rounding error, half of the time
KNOTS = 6  # at which a disturbance changes, in the time after which its correlation is 1/e
DISTURBED = (0.2, 1.8)  # no disturbance takes a mean further, so a range can be declared
BUCKETS = 100  # of users: who share one are assigned together
LOST_QUARTER = 0.25  # what a silent candidate loses of its worst episodes, and stable of its best or worst


@dataclass(frozen=True, slots=True)
class World:
    """One line of load.yaml under `worlds`."""

    returns: str  # normal, heavy, capped, bimodal, sparse, crashes, or mixture
    mean: float  # of stable's returns, at the start
    arrivals_per_s: float  # of both sides together
    weights: tuple[tuple[float, float], ...]  # (from this second on, the candidate's share), ascending from 0
    cv: float = 0.0  # standard deviation over mean; of crashes: their share; others than normal have their own
    candidate: Mixture = ()  # of a mixture: the candidate's returns, whatever the drop says
    stable: Mixture = ()
    range: tuple[float, float] | None = None  # between what every return lies, where a spec could declare it
    sink: float = 0.0  # by how much returns have fallen at the end, for both sides
    missing: float = 0.0  # share of episodes whose end is never reported, either side
    silent: bool = False  # the candidate's worst quarter is never reported
    explained: float | None = None  # share of stable's variance that its critic explains; None: there is no covariate
    explained_candidate: float | None = None  # of the candidate's; None: as of stable's
    stable_loses: str = ""  # best or worst: that quarter of stable's is never reported
    common: tuple[float, float] | None = (
        None  # an AR(1) of both sides: its spread over the mean, and its memory in seconds
    )
    own: tuple[float, float] | None = None  # the same, of either side for itself
    wave: tuple[float, float] | None = None  # amplitude as a share of the mean, and its period in seconds; both sides
    turns_after: int = 0  # the candidate is as good as stable for so many of its episodes, on average
    users: int = 0  # who come back and stay on their side; 0: each episode is assigned by itself
    ability: float = 0.0  # of a user: her returns are exp(N(0, ability)) times the usual
    counted: str = "episodes"  # or users: of each only the first episode

    @classmethod
    def read(cls, values: Mapping[str, Any], *, duration: float) -> World:
        """Strict: a misspelt key is an error.

        Args:
            values: As in load.yaml. `weights` is a list over equal parts of the duration, or the share from each
                second on; a part of a mixture is [share, mean] or [share, mean, standard deviation].
        """
        weights = values["weights"]
        if not isinstance(weights, Mapping):
            weights = {duration * part / len(weights): share for part, share in enumerate(weights)}
        read: dict[str, Any] = {**values, "weights": tuple(sorted(weights.items()))}
        for side in ("candidate", "stable"):
            read[side] = tuple((part[0], part[1], part[2] if part[2:] else 0.0) for part in values.get(side, ()))
        for pair in ("common", "own", "wave"):
            read[pair] = tuple(map(float, values[pair])) if pair in values else None
        if "range" in values:
            read["range"] = tuple(float(end) for end in values["range"])
        return cls(**read)

    @property
    def binary(self) -> bool:
        """Whether every return is 0 or 1."""
        return self.returns == "sparse"

    @property
    def cuts(self) -> tuple[float, ...]:
        """The seconds at which the weight changes."""
        return tuple(start for start, _ in self.weights if start > 0)

    @property
    def turns_at(self) -> float:
        """The second from which the candidate is worse."""
        return self.turns_after / (self.arrivals_per_s * self.weights[0][1])

    def drop_of_mixture(self) -> float:
        """How much worse the candidate's mean is than stable's, from the parts; NaN for no mixture."""
        means = [sum(share * mean for share, mean, _ in side) for side in (self.candidate, self.stable)]
        return 1 - means[0] / means[1] if means[1] else np.nan


@dataclass(frozen=True, slots=True)
class Episodes:
    """Flat arrays, one entry an episode."""

    rollout: NDArray[np.int64]
    of_candidate: NDArray[np.bool_]
    start: Floats  # seconds since the candidate first had a weight
    end: Floats  # inf: never reported
    value: Floats  # the return
    level: NDArray[np.int64] | None = None  # of the covariate, known before the first action


def simulate(
    world: World, *, drop: float, rollouts: int, duration: float, grace: float, rng: np.random.Generator
) -> Episodes:
    """Draw the episodes of many rollouts; the candidate's mean return is (1 - drop) of stable's at any time."""
    number = rng.poisson(world.arrivals_per_s * duration, rollouts)
    rollout = np.repeat(np.arange(rollouts), number)
    start = rng.random(rollout.size) * duration
    since, share = (np.array(part) for part in zip(*world.weights, strict=True))
    asked, user, able = share[np.searchsorted(since, start, side="right") - 1], None, None
    if world.users:
        user = rollout * world.users + rng.integers(world.users, size=rollout.size)
        bucket = rng.integers(BUCKETS, size=rollouts * world.users) / BUCKETS
        able = np.exp(rng.normal(0, world.ability, rollouts * world.users))[user]
        of_candidate = bucket[user] < asked
    else:
        of_candidate = rng.random(rollout.size) < asked

    level = 1 - world.sink * start / duration
    level = level * _disturbed(world, rollout, of_candidate, start, rollouts=rollouts, duration=duration, rng=rng)
    worse = of_candidate & (start >= world.turns_at)
    value, level_of = _draw(world, of_candidate, np.where(worse, 1 - drop, 1.0), rng, able=able)
    value = value * level
    # Longer for better returns, as in CartPole: 5 s to the cap, half of it for the usual return.
    length = np.clip(grace / 2 * value / (abs(world.mean) * level), 5, LONGEST * grace)
    reported = rng.random(rollout.size) >= world.missing
    if world.silent:
        reported &= ~(of_candidate & (value / level < np.quantile(value / level, LOST_QUARTER)))
    if world.stable_loses:
        sign = {"worst": 1.0, "best": -1.0}[world.stable_loses]
        good = sign * value / level
        reported &= of_candidate | (good >= np.quantile(good[~of_candidate], LOST_QUARTER))
    drawn = Episodes(rollout, of_candidate, start, np.where(reported, start + length, np.inf), value, level_of)
    return drawn if world.counted == "episodes" or user is None else _first_of_each(drawn, user)


def _first_of_each(episodes: Episodes, user: NDArray[np.int64]) -> Episodes:
    """The episode that each user began first; the others are known to go as that one went."""
    order = np.lexsort((episodes.start, user))
    first = order[np.diff(user[order], prepend=-1) > 0]
    kept = (getattr(episodes, field.name) for field in fields(episodes))
    return Episodes(*(None if part is None else part[first] for part in kept))


def _disturbed(
    world: World,
    rollout: NDArray[np.int64],
    of_candidate: NDArray[np.bool_],
    start: Floats,
    *,
    rollouts: int,
    duration: float,
    rng: np.random.Generator,
) -> Floats | float:
    """What each episode's return is multiplied by, for when it began."""
    level: Floats | float = 1.0
    if world.wave is not None:
        amplitude, period = world.wave
        # Each rollout begins at another hour.
        level = level + amplitude * np.sin(2 * np.pi * (start / period + rng.random(rollouts)[rollout]))
    for pair, sides in ((world.common, 1), (world.own, 2)):
        if pair is not None:
            spread, memory = pair
            paths = ar1(rollouts * sides, spread, memory=memory, duration=duration, rng=rng)
            path = rollout if sides == 1 else rollout * 2 + of_candidate
            level = level + path_of(paths, path, start, memory=memory)
    return np.clip(level, *DISTURBED)


def ar1(paths: int, spread: float, *, memory: float, duration: float, rng: np.random.Generator) -> Floats:
    """Return disturbances that are forgotten: (path, knot), KNOTS of them in a memory, stationary.

    Args:
        spread: Standard deviation, as a share of the mean.
        memory: Seconds after which the correlation is 1/e.
    """
    knots, keeps = int(duration / memory * KNOTS) + 1, np.exp(-1 / KNOTS)
    news = rng.normal(0, spread * np.sqrt(1 - keeps**2), (knots, paths))
    news[0] = rng.normal(0, spread, paths)
    for knot in range(1, knots):
        news[knot] += keeps * news[knot - 1]
    return news.T


def path_of(paths: Floats, path: NDArray[np.int64], start: Floats, *, memory: float) -> Floats:
    """Return the disturbance of each episode: of its path, when it began."""
    found: Floats = paths[path, (start / memory * KNOTS).astype(int)]
    return found


def known_before(
    world: World, *, rollouts: int, episodes: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64] | None]:
    """Return stable's last returns before the candidate came, and the levels of their covariate: (rollout, episode)."""
    size = rollouts * episodes
    able = np.exp(rng.normal(0, world.ability, size)) if world.users else None
    value, level_of = _draw(world, np.zeros(size, dtype=bool), np.ones(size), rng, able=able)
    shape = (rollouts, episodes)
    return value.reshape(shape), None if level_of is None else level_of.reshape(shape)


def _draw(
    world: World,
    of_candidate: NDArray[np.bool_],
    ability: Floats,
    rng: np.random.Generator,
    *,
    able: Floats | None = None,
) -> tuple[Floats, NDArray[np.int64] | None]:
    """Returns whose mean is ability * world.mean, or as the mixtures say; and what was known of each beforehand.

    Args:
        able: What the user of each episode makes of normal returns; None: all are alike.
    """
    size, spread = ability.size, world.cv * world.mean
    if world.explained is not None:
        return _foreseen(world, of_candidate, ability, rng)
    match world.returns:
        case "normal":
            usual = rng.normal(world.mean, spread, size)
            drawn = ability * np.clip(usual if able is None else able * usual, 0, 2 * world.mean)
        case "heavy":  # Student's t with 3 degrees of freedom: variance 3, no third moment
            drawn = ability * (world.mean + spread * rng.standard_t(3, size) / np.sqrt(3))
        case "capped":  # half-trained CartPole: a gamma cut at 500, the mean taken by draw
            drawn = ability * np.minimum(rng.gamma(1 / world.cv**2, world.mean * world.cv**2, size), 500)
        case "bimodal":  # worse means more crashes
            landed = rng.random(size) < (ability * world.mean - CRASH[0]) / (LANDING[0] - CRASH[0])
            drawn = np.where(landed, rng.normal(*LANDING, size), rng.normal(*CRASH, size))
        case "crashes":  # the full return or nothing; worse means more nothing
            full = world.mean / (1 - world.cv)
            drawn = full * (rng.random(size) < ability * (1 - world.cv))
        case "sparse":  # 1 at success, else 0
            drawn = (rng.random(size) < ability * world.mean).astype(np.float64)
        case "mixture":
            chance = rng.random(size)
            drawn = np.where(of_candidate, _mixed(world.candidate, chance, rng), _mixed(world.stable, chance, rng))
            drawn = drawn if world.range is None else np.clip(drawn, *world.range)
        case _:
            raise ValueError(f"unknown distribution {world.returns!r}")
    return drawn, None


def _foreseen(
    world: World, of_candidate: NDArray[np.bool_], ability: Floats, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """Normal returns of which a critic explains its share; the covariate is the fifth that its value lies in."""
    value, spread = rng.standard_normal(ability.size), world.cv * world.mean
    of_candidates = world.explained if world.explained_candidate is None else world.explained_candidate
    share = np.where(of_candidate, of_candidates, world.explained)
    noise = np.sqrt(share) * value + np.sqrt(1 - share) * rng.standard_normal(ability.size)
    return ability * np.clip(world.mean + spread * noise, 0, 2 * world.mean), np.searchsorted(FIFTHS, value)


def _mixed(parts: Sequence[tuple[float, float, float]], chance: Floats, rng: np.random.Generator) -> Floats:
    """One value for each chance in [0, 1): the part it falls into, and that part's spread."""
    share, mean, spread = (np.array(column) for column in zip(*parts, strict=True))
    part = np.minimum(np.searchsorted(np.cumsum(share), chance, side="right"), len(parts) - 1)
    return mean[part] + spread[part] * rng.standard_normal(chance.size)
