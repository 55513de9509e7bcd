"""`validate`: gates of the candidate, and the candidate against stable, before it gets (more) traffic."""

from belay_api.gates import Confidence, Episodes, Gates, named_baseline
from belay_api.judging import STALL_RULE, PlaySpec
from belay_api.model import rule, rules
from belay_api.rollout.steps.undecided import UndecidedAction
from belay_api.units import Percent


class ValidateStep(PlaySpec):
    """Play the candidate in its environment, through the network that serving pods load, and stable from the same
    starts. `spec.judging` says where the pod runs."""

    model_config = {
        "json_schema_extra": rules(
            STALL_RULE,
            rule(
                "!has(self.maxRegression) || self.maxRegression.matches('[1-9]')",
                "validate.maxRegression is 0, and nobody can show that: state the smallest fall that matters, e.g. 5%",
            ),
            rule(
                f"!has(self.gates) || !self.gates.exists(g, {named_baseline('g')})",
                "validate.gates: betterThan names an RLPolicy, and a step compares with stable: set "
                "validate.maxRegression, write random, or ask it of the candidate's RLPolicy in spec.validation",
            ),
        )
    }

    gates: Gates | None = None
    """What the candidate must show. Unset: what `spec.validation` of its RLPolicy asks, else what its training asked;
    where neither asks anything and `maxRegression` is unset, the step holds and says so."""
    episodes: Episodes = 100
    """Episodes that both play from the same starts, up to four times as many where these do not tell whether
    `maxRegression` is kept; unset: 100."""
    confidence: Confidence = 0.95
    """Of the interval of the difference, and of its verdict; unset: 0.95."""
    max_regression: Percent | None = None
    """How much less the candidate may return than stable, as a share of the size of stable's return. Unset: the
    difference is told, and held to nothing. A first version is spared it."""
    on_not_enough_samples: UndecidedAction = UndecidedAction.HOLD
    """What to do where nothing failed and the episodes do not tell. A gate that has nothing to measure always holds."""
