"""How the candidate is compared with the concurrent stable version."""

from enum import StrEnum
from typing import Literal

from belay_api.model import Model, rule, rules
from belay_api.rollout.margin import Margin, MarginText


class RangeOrigin(StrEnum):
    """Where an end of the range comes from that a comparison's errors hold for."""

    DECLARED = "Declared"
    """`compare.range`."""
    OUTCOME = "Outcome"
    """What the outcome is: `success` is 0 or 1, `length` and `violations` are not below 0."""
    TASK = "Task"
    """The limits of the reward and the cap on timesteps, on which the artifacts of both policies agree."""
    SEEN = "Seen"
    """Everything seen before, in training and here, and some room beyond."""


class OutcomeRange(Model):
    """Between what every outcome lies; an end that is not set is not known."""

    model_config = {
        "json_schema_extra": rules(
            rule("has(self.low) || has(self.high)", "a range has at least one end: set low, high or both"),
            rule(
                "!has(self.low) || !has(self.high) || self.low < self.high",
                "range.low is not below range.high, and no outcome could lie between them: exchange them",
            ),
        )
    }

    low: float | None = None
    """No outcome is below."""
    high: float | None = None
    """No outcome is above."""


class Compare(Model):
    """The candidate against the concurrent stable; exactly one of the two margins is set."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "has(self.maxRegression) != has(self.maxIncrease)",
                "compare has one margin: maxRegression (more is better) or maxIncrease (less is better)",
            ),
            *(
                rule(
                    # A margin is an integer or text, and text is what every rule on it reads.
                    f"!has(self.{name}) || string(self.{name}).matches('[1-9]')",
                    f"compare.{name} is 0, and nobody can show that: state the smallest {change} that matters, e.g. 5%",
                )
                for name, change in (("maxRegression", "fall"), ("maxIncrease", "rise"))
            ),
        )
    }

    to: Literal["stable"] = "stable"
    """The concurrent stable version. Unset: stable."""
    max_regression: MarginText | None = None
    """More is better: allowed fall of the mean, as a share of the size of stable's (`10%`: of a mean of -480 that is
    48, as of 480) or in the outcome's own unit (`5`, `"0.5"`). Where stable's mean is about 0, only a number says
    anything."""
    max_increase: MarginText | None = None
    """Less is better (a cost, a count): allowed rise of the mean, written in the same ways (`10%`, `250`, `"0.01"`)."""
    range: OutcomeRange | None = None
    """Between what every outcome lies, if you know it. The stated errors then hold for any shape of outcomes; without
    it they hold down to the range that status shows. One that lies outside is said, and nothing is decided by it."""

    @property
    def margin(self) -> Margin | None:
        """The one that is set; None: neither, which the API server refuses."""
        return self.max_regression or self.max_increase
