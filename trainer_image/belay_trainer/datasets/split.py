"""Parts of a dataset that share nothing: episodes stay whole, and copies of an episode stay together.

A timestep of an episode tells much of its other timesteps. A part that shares an episode with another part is no
evidence for what was learnt from that one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from belay_trainer.datasets.check import copies
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration


def by_chance(dataset: Dataset, shares: Sequence[float], generator: np.random.Generator) -> tuple[Dataset, ...]:
    """Return parts of drawn episodes, about `shares` of them each.

    Args:
        shares: Of each part; they add up to 1.
    Raises: BadConfiguration when a part would be empty, or the shares are none.
    """
    groups = copies(dataset)
    order = generator.permutation(np.unique(groups))
    return _parts(dataset, groups, order, shares)


def by_time(dataset: Dataset, shares: Sequence[float]) -> tuple[Dataset, ...]:
    """Return parts in the order in which episodes began, the earliest first.

    A copy of an earlier episode is part of where that one is.

    Raises: BadConfiguration as `by_chance`, and when nobody logged when episodes began.
    """
    if dataset.times is None:
        raise BadConfiguration("a split by time needs the column `time`: log it, or split by chance.")
    groups = copies(dataset)
    began = np.full(dataset.episodes, np.inf)
    np.minimum.at(began, groups, dataset.times)
    found = np.unique(groups)
    return _parts(dataset, groups, found[np.argsort(began[found], kind="stable")], shares)


def folds(dataset: Dataset, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Return (episodes,): the fold of each, 0 to count - 1; of sizes as equal as copies allow."""
    groups = copies(dataset)
    order = generator.permutation(np.unique(groups))
    fold = np.empty(dataset.episodes, dtype=np.intp)
    fold[order] = np.arange(len(order)) % count
    return fold[groups]


def _parts(
    dataset: Dataset, groups: NDArray[np.intp], order: NDArray[np.intp], shares: Sequence[float]
) -> tuple[Dataset, ...]:
    if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise BadConfiguration(f"shares of a split are {list(shares)}: wanted numbers above 0 that add up to 1.")
    sizes = np.bincount(groups, minlength=dataset.episodes)[order]
    middles = (np.cumsum(sizes) - sizes / 2) / dataset.episodes  # of each group, where all stand in a row of length 1
    part = np.searchsorted(np.cumsum(shares)[:-1], middles, side="right")
    found = []
    for number in range(len(shares)):
        chosen = np.flatnonzero(np.isin(groups, order[part == number]))
        if not len(chosen):
            raise BadConfiguration(
                f"a split of {len(order)} different episodes by {list(shares)} leaves part {number} empty: "
                "log more, or ask for fewer parts."
            )
        found.append(dataset.take(chosen))
    return tuple(found)
