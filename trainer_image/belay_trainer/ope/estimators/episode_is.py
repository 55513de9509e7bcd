"""`is`: importance sampling of whole episodes. Mean of w(episode) · return.

Unbiased where the logged policy could do all that the target does; its variance grows with every timestep.

Source: Precup, Sutton, Singh, "Eligibility Traces for Off-Policy Policy Evaluation", ICML 2000, section 2.
"""

from belay_trainer.ope.estimators.estimator import Fit, by_episode, mean_of
from belay_trainer.ope.logged import Logged

TITLE = "importance sampling of episodes"
BY_WEIGHTS = True


def estimate(logged: Logged) -> Fit:
    """See `Estimator`."""
    return by_episode(logged, mean_of(logged.weights[:, -1] * logged.returns))
