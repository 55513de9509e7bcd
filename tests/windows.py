"""Windows of episodes as a bet reads them."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_api.wire import WindowStatistics
from belay_operator.rollout.analysis.bet import Outcomes
from belay_operator.rollout.analysis.covariate import LEVELS, Covariate


def alike(first: datetime, number: int, **each: Any) -> list[WindowStatistics]:
    """Return so many windows of ten seconds, one after the other, that differ in nothing but their start."""
    return [WindowStatistics(start=first + index * timedelta(seconds=10), missing=0, **each) for index in range(number)]


def outcomes(values: NDArray[np.float64]) -> Outcomes:
    """Return windows of equal size; the episodes are on the last axis."""
    mean = values.mean(axis=-1)
    m2 = ((values - mean[..., np.newaxis]) ** 2).sum(axis=-1)
    count = np.full(mean.shape, float(values.shape[-1]))
    return Outcomes(count, mean, m2, values.min(axis=-1), values.max(axis=-1))


def foreseen(values: NDArray[np.float64], level: NDArray[np.int64]) -> Outcomes:
    """Return the same with a covariate, of which the level of every episode is known."""
    parts = [_of_level(values, level == one) for one in range(LEVELS.size)]
    stacked = [np.stack(part, axis=-1) for part in zip(*parts, strict=True)]
    everywhere = np.ones(values.shape[:-1], dtype=bool)
    return replace(outcomes(values), covariate=Covariate(everywhere, everywhere, *stacked))


def _of_level(values: NDArray[np.float64], of: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    count = of.sum(axis=-1).astype(float)
    mean = np.where(of, values, 0.0).sum(axis=-1) / np.maximum(count, 1)
    m2 = np.where(of, (values - mean[..., np.newaxis]) ** 2, 0.0).sum(axis=-1)
    ends = np.where(of, values, np.inf).min(axis=-1), np.where(of, values, -np.inf).max(axis=-1)
    return [count, mean, m2, *(np.where(count > 0, end, 0.0) for end in ends)]
