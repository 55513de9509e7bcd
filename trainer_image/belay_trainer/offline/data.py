"""The episodes of a job, read, checked and split, and the spaces they were logged in.

With a simulator all episodes are learned from. Without one some are held back, and in two halves: the best of many
estimates from the same episodes is higher than the policy is worth, so one half chooses the checkpoint and the other
tells its worth. Every seed has the same parts, so that its numbers can be compared with those of other seeds.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from belay_api.dataset import DatasetSpec, LoggedActions
from belay_api.environment import EnvironmentSpec
from belay_api.spaces import BoxSpace, DiscreteSpace, Space, space_model
from belay_trainer import datasets, environments
from belay_trainer.datasets import split
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.datasets.fit import check_inside, fitted
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.offline.replay import Replay

SPLIT_SEED = 0  # of the parts, whatever the training's seed
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeldOutParts:
    """Episodes that nothing is learned from."""

    choosing: Dataset
    measuring: Dataset


@dataclass(frozen=True, slots=True)
class Data:
    """What is learned from."""

    learning: Dataset
    held_out: HeldOutParts | None  # None: there is a simulator
    observation_space: spaces.Box
    action_space: spaces.Space[Any]  # a box, or so many choices from 0
    sha256: str  # hex, of the file

    @property
    def action(self) -> Space:
        """The action space as artifacts have it."""
        return space_model(self.action_space)

    def replay(self) -> Environment:
        """Return an environment that shows observations of the log, held-out ones where there are some."""
        shown = self.held_out.measuring if self.held_out else self.learning
        return Replay(shown, self.observation_space, self.action_space)


def load(spec: DatasetSpec, played_in: EnvironmentSpec | None) -> Data:
    """Return the data of a job.

    Args:
        played_in: Where its policies are played; None: nowhere.
    Raises: BadConfiguration, naming the field, the column and the nearest known name.
    """
    path = Path(spec.path)
    if played_in is not None:
        observation_space, action_space = _spaces_of(played_in)
    try:
        dataset, notes = datasets.read(path)
        if played_in is None:
            observation_space = spaces.Box(-np.inf, np.inf, dataset.observations.shape[1:], np.float32)
            action_space = _action_space(dataset, spec.actions, path)
        action = space_model(action_space)
        dataset = fitted(dataset, space_model(observation_space), action, name=str(path), owner="task")
        if isinstance(action, BoxSpace):
            check_inside(dataset, action, name=str(path))
    except BadConfiguration as error:
        told = str(error)
        raise BadConfiguration(f"dataset.path: {told}" if told.startswith("dataset ") else told) from error
    for note in notes:
        log.info("dataset %s: %s", path, note)
    learning, held_out = (dataset, None) if played_in is not None else _split(dataset, spec)
    return Data(learning, held_out, observation_space, action_space, datasets.sha256_of(path))


def _spaces_of(task: EnvironmentSpec) -> tuple[spaces.Box, spaces.Space[Any]]:
    try:
        probe = environments.maker(task)()
        environments.check_spaces(probe)
        environments.check_wrappers(probe)
        environments.try_out(probe)
    except BadConfiguration as error:
        raise BadConfiguration(f"evaluation.environment: {error}") from error
    observation, action = probe.observation_space, probe.action_space
    probe.close()
    if not isinstance(observation, spaces.Box):
        raise BadConfiguration(
            f"evaluation.environment: observations are {observation}, and algorithms that learn from a dataset take "
            "numbers: make them a Box in a wrapper, and log what that shows."
        )
    return observation, action


def _action_space(dataset: Dataset, said: LoggedActions | None, path: Path) -> spaces.Space[Any]:
    """As the spec says, else the dataset's source, else what was logged."""
    if said is not None and said.choices is not None:
        return spaces.Discrete(said.choices)
    if said is not None and said.low is not None and said.high is not None:
        low, high = np.array(said.low, np.float32), np.array(said.high, np.float32)
        if not (low < high).all():
            raise BadConfiguration(f"dataset.actions: low {said.low} is not below high {said.high} everywhere.")
        return spaces.Box(low, high, dtype=np.float32)
    if isinstance(dataset.action, DiscreteSpace):
        return spaces.Discrete(dataset.action.n)
    if isinstance(dataset.action, BoxSpace):
        low, high = _bounds(dataset.action.low, -np.inf), _bounds(dataset.action.high, np.inf)
        return spaces.Box(low.reshape(dataset.action.shape), high.reshape(dataset.action.shape), dtype=np.float32)
    if dataset.discrete:
        lowest, n = int(dataset.actions.min()), int(dataset.actions.max()) + 1
        if lowest < 0 or n < 2:
            raise BadConfiguration(
                f"dataset {path}: column `action` holds {lowest} to {n - 1}, wanted whole numbers from 0 on, two at "
                "least: if they are choices, say how many in dataset.actions.choices; numbers of a box are logged as "
                "floating-point ones."
            )
        log.warning(
            "dataset %s: actions are taken for 0 to %d, as logged: dataset.actions.choices may say so", path, n - 1
        )
        return spaces.Discrete(n)
    low, high = (end(dataset.actions, axis=0).astype(np.float32) for end in (np.min, np.max))
    if not (low < high).all():
        raise BadConfiguration(
            f"dataset {path}: column `action` has a number that never changes, so its bounds are not in the log: say "
            "them in dataset.actions."
        )
    log.warning("dataset %s: actions are taken for %s to %s, as logged: dataset.actions may say so", path, low, high)
    return spaces.Box(low, high, dtype=np.float32)


def _bounds(bounds: list[float | None], unbounded: float) -> np.ndarray:
    return np.array([unbounded if bound is None else bound for bound in bounds], np.float32)


def _split(dataset: Dataset, spec: DatasetSpec) -> tuple[Dataset, HeldOutParts]:
    shares = [1 - spec.held_out, spec.held_out / 2, spec.held_out / 2]
    if spec.split == "time" and dataset.times is None:
        raise BadConfiguration(
            "dataset.split: time orders episodes by the column `time`, and there is none: log it, or leave split out."
        )
    try:
        if spec.split == "time":
            learning, choosing, measuring = split.by_time(dataset, shares)
        else:
            learning, choosing, measuring = split.by_chance(dataset, shares, np.random.default_rng(SPLIT_SEED))
    except BadConfiguration as error:
        raise BadConfiguration(
            f"dataset.heldOut: {spec.held_out:g} of {dataset.episodes} episodes cannot be held back in two halves: "
            f"{error} Raise heldOut, log more episodes, or set evaluation.environment: then none is held back."
        ) from error
    return learning, HeldOutParts(choosing, measuring)
