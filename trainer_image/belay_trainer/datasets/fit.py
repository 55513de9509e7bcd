"""A dataset in the shapes of a task's spaces, or the reason why it was not logged there."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_api.spaces import BoxSpace, DiscreteSpace, Space
from belay_trainer.datasets.check import place
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration

ROUNDED = 1e-5  # relative: a bound that was kept as float32 may be exceeded so far


def fitted(dataset: Dataset, observation: Space, action: Space, *, name: str, owner: str = "policy") -> Dataset:
    """Return the dataset in the shapes of the spaces.

    Args:
        name: The dataset's, for errors.
        owner: Whose spaces they are, for errors.
    Raises: BadConfiguration when they are others.
    """
    shape = tuple(observation.shape) if observation.kind == "box" else ()
    _check_size(name, "observation", dataset.observations, observation, owner=owner)
    _check_size(name, "action", dataset.actions, action, owner=owner)
    _check_observations(name, dataset, observation, owner=owner)
    if action.kind == "discrete":
        _check_choices(name, dataset.actions, action, owner=owner)
    elif dataset.discrete:
        raise BadConfiguration(f"dataset {name}: column `action` holds whole numbers, the {owner} acts in {action}.")
    dtype = np.dtype(observation.dtype) if observation.kind == "box" else np.dtype(np.int64)

    def shaped(rows: NDArray[Any]) -> NDArray[Any]:
        return rows.reshape(len(rows), *shape).astype(dtype, copy=False)

    last = dataset.last_observations
    return replace(
        dataset,
        observations=shaped(dataset.observations),
        actions=dataset.actions.reshape(len(dataset.actions), *(action.shape if action.kind == "box" else ())),
        last_observations=None if last is None else shaped(last),
    )


def check_inside(dataset: Dataset, action: BoxSpace, *, name: str) -> None:
    """Check that every logged action lies within the bounds of a box.

    Raises: BadConfiguration, naming the first that does not.
    """
    low, high = (
        np.array([end if bound is None else bound for bound in bounds])
        for bounds, end in ((action.low, -np.inf), (action.high, np.inf))
    )
    rows = dataset.actions.reshape(len(dataset.actions), -1)
    slack = ROUNDED * np.maximum(np.abs(np.nan_to_num(low, neginf=0.0)), np.abs(np.nan_to_num(high, posinf=0.0)))
    outside = (rows < low - slack) | (rows > high + slack)
    if not outside.any():
        return
    bad = outside.any(axis=1)
    number = int(np.argmax(outside[np.argmax(bad)]))
    raise BadConfiguration(
        f"dataset {name}: column `action` holds {rows[np.argmax(bad), number]:g} at {place(dataset, bad)}, and in all "
        f"{int(bad.sum())} timesteps lie outside {low[number]:g} to {high[number]:g}, the bounds of its number "
        f"{number}. Log actions as the task took them, or correct the bounds."
    )


def _check_size(name: str, column: str, values: NDArray[Any], space: Space, *, owner: str) -> None:
    found, wanted = math.prod(values.shape[1:]), math.prod(space.shape) if space.kind == "box" else 1
    if found != wanted:
        raise BadConfiguration(
            f"dataset {name}: column `{column}` has {found} number{'s' if found != 1 else ''} in a row, the {owner}'s "
            f"{column} space is {space}: was this log made in "
            f"{'the task the policy was trained for' if owner == 'policy' else 'that task'}?"
        )


def _check_observations(name: str, dataset: Dataset, space: Space, *, owner: str) -> None:
    """Check that the space can hold the observations: they would be cut to whole numbers in silence."""
    dtype = np.dtype(space.dtype) if space.kind == "box" else np.dtype(np.int64)
    if dtype.kind == "f":
        return  # tasks are loose about bounds, and the diagnosis of a training tells of them
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if space.kind == "discrete":
        low, high = space.start, space.start + space.n - 1
    rows = dataset.observations.reshape(dataset.timesteps, -1)
    bad = ((rows != np.rint(rows)) | (rows < low) | (rows > high)).any(axis=1)
    if bad.any():
        seen = str(rows[np.argmax(bad)].tolist())
        raise BadConfiguration(
            f"dataset {name}: column `observation` holds {seen:.60} at {place(dataset, bad)}, the {owner}'s "
            f"observations are whole numbers from {low} to {high}: log what the {owner} was shown."
        )


def _check_choices(name: str, actions: NDArray[Any], space: DiscreteSpace, *, owner: str) -> None:
    start, n = space.start, space.n
    whole = actions.dtype.kind in "iu"
    bad = np.zeros(len(actions), dtype=bool) if whole else actions != np.rint(actions)
    bad |= (actions < start) | (actions >= start + n)
    if not whole or bad.any():
        seen = actions[np.argmax(bad)]
        raise BadConfiguration(
            f"dataset {name}: column `action` holds {seen} ({actions.dtype}), the {owner}'s actions are whole numbers "
            f"from {start} to {start + n - 1}."
        )
