"""Experience and updates, noted while they happen, at next to no cost.

Only the first STEPS timesteps and UPDATES updates after each look are noted, and of those only references: arrays that
the library hands out and does not touch again. What they come to is worked out at the look. Totals go on from look to
look and from pod to pod; what was noted since the last look does not.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from belay_trainer.diagnosis.evidence import Episodes, Observations, Rewards
from belay_trainer.wrapping.info import success

STEPS = 2_048  # timesteps after each look, of all copies together
FEWEST_ROWS = 64  # steps of the vector, however many copies there are
BYTES = 16 * 2**20  # at most, of observations: pictures are large
UPDATES = 256  # after each look
LATEST = 4_096  # episodes kept
STATES = 64  # observations at which the critic is asked
NUMBERS = 256  # of an observation, and
TIMES = 512  # timesteps, in which the time is looked for
UNKNOWN = 0.1  # of a discounted return that may lie beyond what was noted

Row = tuple[np.ndarray, np.ndarray, Sequence[Mapping[str, Any]], Any, np.ndarray]
"""Rewards, dones, infos, next observations and actions of one step of the vector, all (copy, ...)."""


@dataclass(slots=True)
class Totals:
    """What is known over all looks; part of a checkpoint, so plain numbers and arrays."""

    rewards: int = 0
    reward_low: float = math.inf
    reward_high: float = -math.inf
    reward_sum: float = 0.0
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    returns: np.ndarray = field(default_factory=lambda: np.zeros(0))
    terminated: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    success: np.ndarray = field(default_factory=lambda: np.zeros(0))
    observations: int = 0
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    outside: int = 0
    where: str = ""
    farthest: float = 0.0  # of what is outside, beyond its bound
    clip_range: float | None = None
    exploration: float | None = None


@dataclass(frozen=True, slots=True)
class Latest:
    """What was noted since the last look, worked out."""

    clock: float = 0.0  # as in `Episodes`
    entropy: float | None = None
    kl: float | None = None
    usual_action: str = ""
    states: np.ndarray | None = None  # (observation, *shape); None: none has a known future
    realised: np.ndarray | None = None  # what followed, discounted (observation,)


class Recorder:
    """Takes notes of one learner."""

    def __init__(self, *, discount: float, low: np.ndarray | None, high: np.ndarray | None) -> None:
        """Set up.

        Args:
            low, high: Bounds of the observation space; None: it has none that could be compared.
        """
        self.totals = Totals()
        self._discount = discount
        self._low, self._high = (None if end is None else np.ravel(end).astype(float) for end in (low, high))
        self._rows: list[Row] = []
        self._updates: list[dict[str, float]] = []
        self._room = FEWEST_ROWS

    @property
    def empty(self) -> bool:
        """Whether nothing was noted since the last look."""
        return not self._rows and not self._updates

    @property
    def wants_steps(self) -> bool:
        """Whether there is room for another step."""
        return len(self._rows) < self._room

    @property
    def wants_updates(self) -> bool:
        """Whether there is room for another update."""
        return len(self._updates) < UPDATES

    def step(
        self,
        *,
        rewards: np.ndarray,
        dones: np.ndarray,
        infos: Sequence[Mapping[str, Any]],
        observations: Any,
        actions: np.ndarray,
    ) -> None:
        """Note one step of the vector; arrays are (copy, ...).

        Args:
            rewards: The environment's own. They are copied: libraries add to them what follows a truncation.
            observations: After the step, as the environment gives them; where it ended, the next episode's first.
        """
        if not self._rows:
            size = observations.nbytes if isinstance(observations, np.ndarray) else 0
            rows = max(FEWEST_ROWS, STEPS // len(rewards))
            self._room = max(1, min(rows, BYTES // max(size, 1)))
        self._rows.append((rewards.copy(), dones, infos, observations, actions))

    def update(self, metrics: Mapping[str, float]) -> None:
        """Note the figures of one update, under the library's names."""
        self._updates.append(dict(metrics))

    def summarise(self) -> Latest:
        """Add what was noted to the totals, forget it, and return what is known of it alone."""
        rows, updates = self._rows, self._updates
        self._rows, self._updates = [], []
        latest = self._add_updates(updates)
        return latest if not rows else self._add_steps(rows, latest)

    def add_reward_range(self, low: float, high: float) -> None:
        """Add to the totals between what rewards lie that were not noted: one large one is easily missed."""
        if math.isfinite(low) and math.isfinite(high):
            self.totals.reward_low = min(self.totals.reward_low, low)
            self.totals.reward_high = max(self.totals.reward_high, high)

    def rewards(self) -> Rewards | None:
        """Return what is known of rewards."""
        totals = self.totals
        if not totals.rewards:
            return None
        mean = totals.reward_sum / totals.rewards
        return Rewards(count=totals.rewards, low=totals.reward_low, high=totals.reward_high, mean=mean)

    def episodes(self, latest: Latest) -> Episodes:
        """Return what is known of episodes."""
        totals = self.totals
        return Episodes(totals.lengths, totals.returns, totals.terminated, totals.success, latest.clock)

    def observations(self) -> Observations | None:
        """Return what is known of observations."""
        totals = self.totals
        if totals.low is None or totals.high is None:
            return None
        return Observations(totals.observations, totals.low, totals.high, totals.outside, totals.where)

    def _add_updates(self, updates: list[dict[str, float]]) -> Latest:
        totals = self.totals
        for key, name in (("train/clip_range", "clip_range"), ("rollout/exploration_rate", "exploration")):
            seen = [one[key] for one in updates if key in one]
            if seen:
                setattr(totals, name, max(float(max(seen)), getattr(totals, name) or 0.0))
        loss = _median(updates, "train/entropy_loss")
        return Latest(entropy=None if loss is None else -loss, kl=_median(updates, "train/approx_kl"))

    def _add_steps(self, rows: list[Row], latest: Latest) -> Latest:
        rewards = np.stack([row[0] for row in rows]).astype(float)  # (step, copy)
        dones = np.stack([row[1] for row in rows]).astype(bool)
        finite = rewards[np.isfinite(rewards)]
        totals = self.totals
        if len(finite):
            totals.rewards += len(finite)
            totals.reward_low = min(totals.reward_low, float(finite.min()))
            totals.reward_high = max(totals.reward_high, float(finite.max()))
            totals.reward_sum += float(finite.sum())
        self._add_episodes([rows[step][2][copy] for step, copy in np.argwhere(dones)])
        clock, states, realised = 0.0, None, None
        if isinstance(rows[0][3], np.ndarray):
            observed = np.stack([row[3] for row in rows])  # (step, copy, *shape)
            self._add_observations(observed)
            clock = _clock(observed, dones)
            states, realised = _realised(observed, rewards, dones, self._discount)
        usual = _usual_action([row[4] for row in rows])
        return Latest(clock, latest.entropy, latest.kl, usual, states, realised)

    def _add_episodes(self, infos: list[Mapping[str, Any]]) -> None:
        ended = [info for info in infos if "episode" in info]
        totals = self.totals
        for name, kind, values in (
            ("lengths", int, [info["episode"]["l"] for info in ended]),
            ("returns", float, [info["episode"]["r"] for info in ended]),
            ("terminated", bool, [not info.get("TimeLimit.truncated", False) for info in ended]),
            ("success", float, [success(info) for info in ended]),
        ):
            kept = np.concatenate([getattr(totals, name), np.asarray(values, kind)])
            setattr(totals, name, kept[-LATEST:])

    def _add_observations(self, observed: np.ndarray) -> None:
        flat = observed.reshape(observed.shape[0] * observed.shape[1], -1)  # (observation, number)
        low, high, totals = flat.min(axis=0), flat.max(axis=0), self.totals
        totals.observations += len(flat)
        totals.low = low if totals.low is None else np.minimum(totals.low, low)
        totals.high = high if totals.high is None else np.maximum(totals.high, high)
        if self._low is None or self._high is None or self._low.size != flat.shape[1]:
            return
        below, above = self._low, self._high
        # A number on its bound may lie a rounding beyond it. An infinite bound has no slack and needs none.
        slack = [1e-4 * (1 + np.abs(np.where(np.isfinite(bound), bound, 0.0))) for bound in (below, above)]
        if (low >= below - slack[0]).all() and (high <= above + slack[1]).all():
            return
        wrong = (flat < below - slack[0]) | (flat > above + slack[1])
        totals.outside += int(wrong.any(axis=1).sum())
        beyond = np.maximum(below - low, high - above)
        worst = int(np.argmax(beyond))
        if beyond[worst] > totals.farthest:
            totals.farthest = float(beyond[worst])
            seen = f"{low[worst]:.3g} to {high[worst]:.3g}"
            totals.where = f"number {worst} is {seen}, declared {below[worst]:.3g} to {above[worst]:.3g}"


def _median(updates: list[dict[str, float]], key: str) -> float | None:
    """Return the median; what is not a number counts as infinite."""
    seen = [float(one[key]) for one in updates if key in one]
    return float(np.median([value if math.isfinite(value) else math.inf for value in seen])) if seen else None


def _clock(observed: np.ndarray, dones: np.ndarray) -> float:
    """Return the largest |rank correlation| of a number in the observations with the timestep of its episode.

    Only of episodes whose beginning was seen.
    """
    flat = observed.reshape(*observed.shape[:2], -1)[..., :NUMBERS]
    times, numbers = [], []
    for copy in range(dones.shape[1]):
        starts = [*np.flatnonzero(dones[:, copy]), len(dones)]  # an observation there is the next episode's first
        for begin, end in itertools.pairwise(starts):
            times.append(np.arange(end - begin))
            numbers.append(flat[begin:end, copy])
    if not times:
        return 0.0
    time, number = np.concatenate(times)[:TIMES], np.concatenate(numbers)[:TIMES]
    varies = number.min(axis=0) < number.max(axis=0)
    if time.max() == 0 or not varies.any():
        return 0.0
    ranks = np.apply_along_axis(_ranks, 0, number[:, varies])
    return float(np.abs(np.corrcoef(_ranks(time), ranks, rowvar=False)[0, 1:]).max())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks; equal values share theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _realised(
    observed: np.ndarray, rewards: np.ndarray, dones: np.ndarray, discount: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return some observations and the discounted return that followed each, (state, *shape) and (state,).

    Those whose episode ended while it was noted, or of whose return little can lie beyond.
    """
    steps, copies = rewards.shape
    states, realised = [], []
    for number in np.linspace(0, steps * copies - 1, min(4 * STATES, steps * copies)).astype(int):
        step, copy = int(number) // copies, int(number) % copies
        ends = np.flatnonzero(dones[step + 1 :, copy])
        length = int(ends[0]) + 1 if len(ends) else steps - step - 1
        if not length or (not len(ends) and discount**length > UNKNOWN):
            continue
        followed = rewards[step + 1 : step + 1 + length, copy]
        states.append(observed[step, copy])
        realised.append(float(followed @ discount ** np.arange(length)))
        if len(states) == STATES:
            break
    return (np.stack(states), np.asarray(realised)) if states else (None, None)


def _usual_action(actions: list[np.ndarray]) -> str:
    """Return the most frequent action in words; empty where an action is not one whole number."""
    taken = np.stack(actions)  # (step, copy)
    if taken.ndim != 2 or not np.issubdtype(taken.dtype, np.integer):
        return ""
    values, counts = np.unique(taken, return_counts=True)
    most = int(np.argmax(counts))
    return f"action {values[most]} is taken in {100 * counts[most] / taken.size:.3g} % of timesteps"
