"""`fqe`: fitted Q-evaluation. A linear model's value of the episodes' first observations; no weights, no propensities.

Right where the model can express the target's values and the log holds what the target does. A wrong model gives no
sign of it, so alone it is advice. It goes on beyond the cut of a truncated episode, as far as the discount reaches.

Source: `belay_trainer.ope.model`; interval: Hao, Ji, Duan, Lu, Szepesvári, Wang, "Bootstrapping Fitted Q-Evaluation for
    Off-Policy Inference", ICML 2021 (episodes are drawn anew).
Departs: The model is not fitted anew for each draw; its change is taken to first order, as everywhere here.
"""

from belay_trainer.ope.estimators.estimator import Fit, mean_of
from belay_trainer.ope.logged import Logged

TITLE = "fitted Q-evaluation"
BY_WEIGHTS = False


def estimate(logged: Logged) -> Fit:
    """See `Estimator`."""
    model = logged.model
    problem = None
    if model.radius >= 1:
        problem = (
            f"fitted Q-evaluation does not converge on this log: each repetition makes errors {model.radius:.3g} times "
            "larger, for the target goes where the log has nothing that pulls values back"
        )
    return Fit(mean_of(model.contributions), model.effective, problem=problem)
