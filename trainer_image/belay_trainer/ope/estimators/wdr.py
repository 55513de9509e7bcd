"""`wdr`: weighted doubly robust. `dr` with each timestep's weights brought to a sum of 1.

Biased, less with every episode; of much less variance than `dr` where weights are uneven.

Source: Thomas & Brunskill, "Data-Efficient Off-Policy Policy Evaluation for Reinforcement Learning", ICML 2016,
    section 4 (WDR).
Departs: The model is cross-fitted, as in `dr`.
"""

from belay_trainer.ope.estimators.estimator import Estimated, Fit, before, by_decision, weighted_mean
from belay_trainer.ope.logged import Logged

TITLE = "weighted doubly robust"
BY_WEIGHTS = True


def estimate(logged: Logged) -> Fit:
    """See `Estimator`."""
    weights = logged.weights
    errors = logged.rewards - logged.matrix(logged.model.action_values)
    values = logged.matrix(logged.model.values)
    corrections = weighted_mean(weights, errors, logged.discounts)
    foreseen = weighted_mean(before(weights), values, logged.discounts)
    both = Estimated(corrections.value + foreseen.value, corrections.influences + foreseen.influences)
    return by_decision(logged, both)
