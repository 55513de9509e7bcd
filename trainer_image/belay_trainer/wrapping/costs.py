"""Costs beside the reward: read from `info`, added up by episode, and where they happened.

A cost is no part of any reward. A reward component may name the same key; that is the only way it can be learned from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from belay_api.environment import ConstraintSpec, CostPlace, CostReport
from belay_trainer.metrics import COST
from belay_trainer.wrapping.info import number

PLACES = 20  # told of each constraint


def read_costs(constraints: Sequence[ConstraintSpec], info: Mapping[str, Any]) -> list[float]:
    """Return what one timestep cost by each constraint. Raises: BadConfiguration when one is no finite number."""
    return [number(info, one.key, field=f"environment.constraints, {one.name}") for one in constraints]


class Tally:
    """The costs of some episodes."""

    def __init__(self, constraints: Sequence[ConstraintSpec], episodes: int) -> None:
        self._constraints = constraints
        self._totals = np.zeros((len(constraints), episodes))
        self._costly = np.zeros((len(constraints), episodes), dtype=bool)
        self._places: list[list[tuple[int, int, float]]] = [[] for _ in constraints]  # episode, step, cost

    def add(self, info: Mapping[str, Any], *, episode: int, step: int) -> None:
        """Count one timestep, by its place in the episode from 0. Raises: BadConfiguration as `read_costs`."""
        for place, cost in enumerate(read_costs(self._constraints, info)):
            if cost:
                self._totals[place, episode] += cost
                self._costly[place, episode] = True
                self._places[place].append((episode, step, cost))
                # Episodes are played side by side: the places that come first are not the earliest ones.
                if len(self._places[place]) > 2 * PLACES:
                    self._places[place] = sorted(self._places[place])[:PLACES]

    def totals(self, episodes: int) -> dict[str, np.ndarray]:
        """Return (episodes,) of the first ones, by constraint."""
        return {one.name: self._totals[place, :episodes] for place, one in enumerate(self._constraints)}

    def reports(self, seeds: Sequence[int], *, timesteps: int) -> list[CostReport]:
        """Return what each constraint cost.

        Args:
            seeds: Reset seed of each episode.
            timesteps: Of all episodes.
        """
        found = []
        for place, one in enumerate(self._constraints):
            totals = self._totals[place]
            found.append(
                CostReport(
                    name=one.name,
                    total=float(totals.sum()),
                    per_episode=float(totals.mean()),
                    per_step=float(totals.sum()) / timesteps,
                    costly_episodes=int(self._costly[place].sum()),
                    limit=one.limit,
                    over_limit=None if one.limit is None else int((totals > one.limit).sum()),
                    places=[
                        CostPlace(seed=seeds[episode], step=step, cost=cost)
                        for episode, step, cost in sorted(self._places[place])[:PLACES]
                    ],
                )
            )
        return found


class Costed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Adds the costs of an episode of collection to its figures; stands around the counter of returns."""

    def __init__(self, environment: gymnasium.Env[Any, Any], constraints: Sequence[ConstraintSpec]) -> None:
        super().__init__(environment)
        self._constraints = constraints
        self._totals = [0.0] * len(constraints)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self._totals = [0.0] * len(self._constraints)
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Count."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        costs = read_costs(self._constraints, info)
        self._totals = [total + cost for total, cost in zip(self._totals, costs, strict=True)]
        if "episode" in info:
            named = zip(self._constraints, self._totals, strict=True)
            info["episode"] |= {f"{COST}{one.name}": total for one, total in named}
        return observation, reward, terminated, truncated, info
