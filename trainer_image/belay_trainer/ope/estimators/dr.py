"""`dr`: doubly robust. A model's value of the start, corrected by weighted errors of the model.

    mean of Σ γ^t · [ w(up to t) · (r - Q(s, a)) + w(up to t - 1) · V(s) ]

Unbiased with right propensities, whatever the model says, as long as it was learnt from other episodes; and right where
the model is, whatever the weights are. Beyond an episode's end, also a truncated one's, Q, V and r are 0: what is
estimated is the return up to there.

Source: Jiang & Li, "Doubly Robust Off-policy Value Evaluation for Reinforcement Learning", ICML 2016, equation 10,
    unrolled.
Departs: Q comes from half of the episodes for the other half (cross-fitting: Chernozhukov et al., "Double/debiased
    machine learning for treatment and structural parameters", The Econometrics Journal 21 (2018) C1-C68).
"""

from belay_trainer.ope.estimators.estimator import Fit, before, by_decision, mean_of
from belay_trainer.ope.logged import Logged

TITLE = "doubly robust"
BY_WEIGHTS = True


def estimate(logged: Logged) -> Fit:
    """See `Estimator`."""
    weights = logged.weights
    errors = logged.rewards - logged.matrix(logged.model.action_values)
    values = logged.matrix(logged.model.values)
    return by_decision(logged, mean_of((weights * errors + before(weights) * values) @ logged.discounts))
