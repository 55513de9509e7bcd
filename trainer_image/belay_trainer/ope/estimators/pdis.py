"""`pdis`: importance sampling per decision. Mean of Σ γ^t · w(up to t) · r(t).

A reward is weighted by the decisions before it only, not by later ones. Unbiased as `is`, with less variance.

Source: Precup, Sutton, Singh, ICML 2000, section 3.
"""

from belay_trainer.ope.estimators.estimator import Fit, by_decision, mean_of
from belay_trainer.ope.logged import Logged

TITLE = "importance sampling per decision"
BY_WEIGHTS = True


def estimate(logged: Logged) -> Fit:
    """See `Estimator`."""
    return by_decision(logged, mean_of((logged.weights * logged.rewards) @ logged.discounts))
