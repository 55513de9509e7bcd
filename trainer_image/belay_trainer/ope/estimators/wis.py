"""`wis`: weighted importance sampling of whole episodes. Σ w · return / Σ w.

Biased, less with every episode, and never outside the logged returns; its variance is far below that of `is`.

Source: Precup, Sutton, Singh, ICML 2000, section 2.
"""

from belay_trainer.ope.estimators.estimator import Fit, by_episode, weighted_mean
from belay_trainer.ope.logged import Logged

TITLE = "weighted importance sampling of episodes"
BY_WEIGHTS = True


def estimate(logged: Logged) -> Fit:
    """See `Estimator`."""
    weights, returns = logged.weights[:, -1:], logged.returns[:, None]
    return by_episode(logged, weighted_mean(weights, returns, logged.discounts[:1]))
