"""`wpdis`: weighted importance sampling per decision. Σ γ^t · (Σ w(up to t) · r(t) / Σ w(up to t)).

Each timestep's rewards are averaged by its own weights. Biased, less with every episode.

Source: Precup, Sutton, Singh, ICML 2000, section 3; in this form Thomas, "Safe Reinforcement Learning" (dissertation,
    University of Massachusetts, 2015), section 3.8 (CWPDIS).
"""

from belay_trainer.ope.estimators.estimator import Fit, by_decision, weighted_mean
from belay_trainer.ope.logged import Logged

TITLE = "weighted importance sampling per decision"
BY_WEIGHTS = True


def estimate(logged: Logged) -> Fit:
    """See `Estimator`."""
    return by_decision(logged, weighted_mean(logged.weights, logged.rewards, logged.discounts))
