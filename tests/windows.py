"""Windows of episodes as a bet reads them."""

import numpy as np
from numpy.typing import NDArray

from belay_operator.rollout.analysis.bet import Outcomes


def outcomes(values: NDArray[np.float64]) -> Outcomes:
    """Return windows of equal size; the episodes are on the last axis."""
    mean = values.mean(axis=-1)
    m2 = ((values - mean[..., np.newaxis]) ** 2).sum(axis=-1)
    count = np.full(mean.shape, float(values.shape[-1]))
    return Outcomes(count, mean, m2, values.min(axis=-1), values.max(axis=-1))
