"""What a dataset must be before anybody computes with it, and what its reader should be told.

Errors stop: a number that is none, a propensity that cannot be one. Notes do not: outliers, copies and truncated
episodes may be right, and nobody but the reader can say so.
"""

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration

FAR = 10.0  # interquartile ranges from the median: of normal numbers one in 10^40 lies so far out
ROUNDED = 1e-6  # by which a probability of 1 may exceed 1 where it was kept as float32


def check(dataset: Dataset, *, name: str) -> list[str]:
    """Return what the reader should know, in sentences.

    Args:
        name: The dataset's, for errors.
    Raises: BadConfiguration for what cannot be computed with, naming the column and the first place.
    """
    if not dataset.episodes:
        raise BadConfiguration(f"dataset {name}: there is no episode in it.")
    _numbers(dataset, name, "observation", dataset.observations)
    _numbers(dataset, name, "action", dataset.actions)
    _numbers(dataset, name, "reward", dataset.rewards)
    _following(dataset, name)
    _propensities(dataset, name)
    return [*_ends(dataset), *_outliers(dataset), *_still(dataset), *_choices(dataset), *_copies(dataset)]


def copies(dataset: Dataset) -> NDArray[np.intp]:
    """Return (episodes,): the first episode with the same observations, actions and rewards as each; often itself."""
    first: dict[bytes, int] = {}
    found = np.empty(dataset.episodes, dtype=np.intp)
    for episode in range(dataset.episodes):
        rows = slice(dataset.starts[episode], dataset.starts[episode + 1])
        digest = hashlib.sha256()
        for column in (dataset.observations, dataset.actions, dataset.rewards):
            digest.update(np.ascontiguousarray(column[rows]).tobytes())
        found[episode] = first.setdefault(digest.digest(), episode)
    return found


def place(dataset: Dataset, at: NDArray[np.bool_]) -> str:
    """Return in words where the first of the timesteps is that `at`, (timesteps,), marks."""
    row = int(np.argmax(at))
    episode = int(np.searchsorted(dataset.starts, row, side="right")) - 1
    return f"step {row - int(dataset.starts[episode])} of episode `{dataset.ids[episode]}`"


def _numbers(dataset: Dataset, name: str, column: str, values: NDArray[Any]) -> None:
    bad = ~np.isfinite(values.reshape(len(values), math.prod(values.shape[1:]))).all(axis=1)
    if bad.any():
        raise BadConfiguration(
            f"dataset {name}: column `{column}` is not finite in {int(bad.sum())} of {len(values)} timesteps, first at "
            f"{place(dataset, bad)}: {_short(values[np.argmax(bad)])}. Mend them or leave those episodes out."
        )


def _following(dataset: Dataset, name: str) -> None:
    follows, known = dataset.follows()
    finite = np.isfinite(follows.reshape(len(follows), math.prod(follows.shape[1:]))).all(axis=1)
    bad = known & ~dataset.terminated & ~finite
    if bad.any():
        raise BadConfiguration(
            f"dataset {name}: what followed the last action of truncated episode `{dataset.ids[np.argmax(bad)]}` is "
            "not finite: mend it, or leave it unknown."
        )


def _propensities(dataset: Dataset, name: str) -> None:
    found = dataset.propensities
    if found is None:
        return
    most = 1 + ROUNDED if dataset.discrete else np.inf
    bad = ~((found > 0) & (found <= most) & np.isfinite(found))
    if bad.any():
        wanted = "above 0 and at most 1" if dataset.discrete else "above 0 and finite (densities of continuous actions)"
        raise BadConfiguration(
            f"dataset {name}: column `propensity` is {found[np.argmax(bad)]:g} at {place(dataset, bad)}, and so in "
            f"{int(bad.sum())} of {len(found)} timesteps: wanted {wanted}. An action that was taken had a probability."
        )


def _ends(dataset: Dataset) -> list[str]:
    cut = int((~dataset.terminated).sum())
    if not cut:
        return []
    return [f"{cut} of {dataset.episodes} episodes were truncated: their returns count up to there."]


def _outliers(dataset: Dataset) -> list[str]:
    low, middle, high = np.percentile(dataset.rewards, [25, 50, 75])
    far = np.abs(dataset.rewards - middle) > FAR * (high - low)
    if high == low or not far.any():
        return []
    worst = np.argmax(np.abs(dataset.rewards - middle))
    at = np.zeros(len(far), dtype=bool)
    at[worst] = True
    return [
        f"{int(far.sum())} rewards lie over {FAR:g} interquartile ranges from the median {middle:g}; the furthest, "
        f"{dataset.rewards[worst]:g}, is at {place(dataset, at)}."
    ]


def _still(dataset: Dataset) -> list[str]:
    rows = dataset.observations.reshape(dataset.timesteps, math.prod(dataset.observations.shape[1:]))
    same = int((rows == rows[0]).all(axis=0).sum())
    if rows.shape[1] == 1 or not same or same == rows.shape[1]:
        return []
    return [f"{same} of {rows.shape[1]} numbers of an observation never change."]


def _choices(dataset: Dataset) -> list[str]:
    if not dataset.discrete:
        return []
    taken, counts = np.unique(dataset.actions, return_counts=True)
    shares = ", ".join(f"{one}: {count / dataset.timesteps:.1%}" for one, count in zip(taken, counts, strict=True))
    return [f"Actions taken: {shares}."] if len(taken) <= 20 else [f"{len(taken)} different actions were taken."]


def _copies(dataset: Dataset) -> list[str]:
    first = copies(dataset)
    again = np.flatnonzero(first != np.arange(dataset.episodes))
    if not len(again):
        return []
    one = again[0]
    return [
        f"{len(again)} of {dataset.episodes} episodes are copies of others (`{dataset.ids[one]}` of "
        f"`{dataset.ids[first[one]]}`): unless task and policy draw nothing, they are the same evidence counted twice, "
        "and intervals are too narrow. Remove them."
    ]


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else text[:60] + " …"
