"""`wdr`: weighted doubly robust. `dr` with each timestep's weights brought to a sum of 1.

Biased, less with every episode; of much less variance than `dr` where weights are uneven.

Source: Thomas & Brunskill, "Data-Efficient Off-Policy Policy Evaluation for Reinforcement Learning", ICML 2016,
    section 4 (WDR).
Departs: The model is cross-fitted, as in `dr`.
"""

import numpy as np

from belay_trainer.datasets.dataset import Floats
from belay_trainer.ope.estimators.estimator import Fit, by_decision, previous, weighted_means
from belay_trainer.ope.logged import Logged

TITLE = "weighted doubly robust"
BY_WEIGHTS = True


def estimate(logged: Logged) -> Fit:
    """See `Estimator`."""
    weights, before = logged.weights, previous(logged.weights)
    errors = logged.rewards - logged.matrix(logged.model.action_values)
    values = logged.matrix(logged.model.values)

    def statistic(counts: Floats) -> Floats:
        steps = weighted_means(counts, weights, errors) + weighted_means(counts, before, values)
        return np.asarray(steps @ logged.discounts)

    return by_decision(logged, statistic)
