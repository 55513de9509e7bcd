"""HDF5 in Minari's layout: a group `episode_N` per episode. Belay needs h5py for it, and not Minari.

    data/main_data.hdf5
        episode_0/  observations (T + 1, *observation)   actions (T, ...)   rewards (T,)
                    terminations (T,)   truncations (T,)   propensities (T,), or infos/propensity

Minari knows no propensities, so they have two places: a dataset beside the others, or what a step's `info` was told,
whose first row may belong to the reset.

Layout: Farama Foundation, Minari, "Dataset standards", and its own reader of 0.5 (`hdf5_storage.py`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from belay_api.words import did_you_mean
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration

if TYPE_CHECKING:
    import h5py

MINARI_FILE = Path("data/main_data.hdf5")
PREFIX = "episode_"
FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")


def read(path: Path) -> Dataset:
    """Return the dataset in an HDF5 file; what its numbers are worth is not checked here.

    Raises: BadConfiguration, naming the episode and the field.
    """
    import h5py  # noqa: PLC0415  only where a file is read

    try:
        with h5py.File(path, "r") as file:
            names = sorted((name for name in file if _number(name) is not None), key=lambda name: _number(name) or 0)
            if not names:
                raise BadConfiguration(
                    f"dataset {path}: there is no group `{PREFIX}0` in it, only {', '.join(file) or 'nothing'}: wanted "
                    "Minari's layout. D4RL's flat files are converted by Minari's own scripts."
                )
            episodes = [_Episode(file[name], f"dataset {path}: {name}") for name in names]
    except (OSError, RuntimeError) as error:  # the latter for damage that is met behind the file's head
        raise BadConfiguration(f"dataset {path}: this is no HDF5 file, or a torn one: {error}") from error
    return _joined(episodes, names, path)


class _Episode:
    """One group, as arrays of T timesteps."""

    def __init__(self, group: "h5py.Group", source: str) -> None:
        self._group, self.source = group, source
        self.observations, self.actions = self._array("observations"), self._array("actions")
        self.rewards = self._column("rewards").astype(np.float64)
        length = self.length = len(self.rewards)
        if length == 0:
            raise BadConfiguration(f"{source}: `rewards` is empty: leave this episode out.")
        self._check_length("observations", len(self.observations), length + 1)
        self._check_length("actions", len(self.actions), length)
        ended = {}
        for name in ("terminations", "truncations"):
            flags = self._column(name).astype(bool)
            self._check_length(name, len(flags), length)
            if flags[:-1].any():
                raise BadConfiguration(f"{source}: it goes on after `{name}` at step {int(np.argmax(flags))} ended it.")
            ended[name] = bool(flags[-1])
        self.terminated = ended["terminations"]
        self.propensities = self._propensities()

    def _propensities(self) -> NDArray[np.float64] | None:
        group, infos = self._group, self._group.get("infos")
        if "propensities" in group:
            found = self._column("propensities")
            self._check_length("propensities", len(found), self.length)
        elif hasattr(infos, "keys") and "propensity" in infos:
            found = self._column("propensity", infos)
            if len(found) == self.length + 1:
                found = found[1:]  # the first is what the reset told
            self._check_length("infos/propensity", len(found), self.length)
        else:
            return None
        return found.astype(np.float64)

    def _column(self, name: str, group: "h5py.Group | None" = None) -> NDArray[Any]:
        """Return a field that is one number a step, (rows,). Args: group: Where it stands; None: in the episode."""
        found = self._array(name, group)
        if found.size != len(found):
            raise BadConfiguration(f"{self.source}: `{name}` has the shape {found.shape}, wanted one number a step.")
        return found.ravel()

    def _array(self, name: str, group: "h5py.Group | None" = None) -> NDArray[Any]:
        """Return a field, (rows, ...)."""
        group = self._group if group is None else group
        if name not in group:
            hint = did_you_mean(name, group)
            raise BadConfiguration(f"{self.source}: there is no `{name}` in it; {hint}")
        found = group[name]
        if hasattr(found, "keys"):
            raise BadConfiguration(f"{self.source}: `{name}` is made of {', '.join(found)}: flatten it into one array.")
        values = np.asarray(found[()])
        if values.dtype.kind not in "biuf" or not values.ndim:
            held = values.dtype if values.ndim else "a single value"
            raise BadConfiguration(f"{self.source}: `{name}` holds {held}, wanted numbers, one row a step.")
        return values

    def _check_length(self, name: str, found: int, wanted: int) -> None:
        if found != wanted:
            raise BadConfiguration(
                f"{self.source}: `{name}` has {found} rows, wanted {wanted}, for `rewards` has {self.length}"
                + (" and the observation after the last action is one of them." if name == "observations" else ".")
            )


def _joined(episodes: list[_Episode], names: list[str], path: Path) -> Dataset:
    for field in ("observations", "actions"):
        shapes = {getattr(episode, field).shape[1:]: name for episode, name in zip(episodes, names, strict=True)}
        if len(shapes) > 1:
            said = ", ".join(f"{shape} in {name}" for shape, name in shapes.items())
            raise BadConfiguration(f"dataset {path}: `{field}` have different shapes: {said}.")
    with_propensities = [episode.propensities is not None for episode in episodes]
    if any(with_propensities) and not all(with_propensities):
        raise BadConfiguration(
            f"dataset {path}: {names[with_propensities.index(False)]} has no propensities, others have: log them all."
        )
    starts = np.concatenate([[0], np.cumsum([episode.length for episode in episodes])]).astype(np.intp)
    actions = np.concatenate([episode.actions for episode in episodes])
    if actions.ndim == 2 and actions.shape[1] == 1 and actions.dtype.kind in "iu":
        actions = actions[:, 0]
    return Dataset(
        observations=np.concatenate([episode.observations[:-1] for episode in episodes]),
        actions=actions,
        rewards=np.concatenate([episode.rewards for episode in episodes]),
        starts=starts,
        terminated=np.array([episode.terminated for episode in episodes]),
        ids=tuple(names),
        propensities=np.concatenate([episode.propensities for episode in episodes if episode.propensities is not None])
        if all(with_propensities)
        else None,
        last_observations=np.stack([episode.observations[-1] for episode in episodes]),
    )


def _number(name: str) -> int | None:
    digits = name.removeprefix(PREFIX)
    return int(digits) if name.startswith(PREFIX) and digits.isdecimal() else None
