"""What follows a verdict other than Pass: of all metrics, and of one."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from belay_api.model import Model, rule, rules
from belay_api.units import Duration


class Action(StrEnum):
    """What follows a verdict that has stood for long enough."""

    CONTINUE = "Continue"
    """Go on without a Pass of this metric, and say so in status and by an Event. Its Fail still counts."""
    HOLD = "Hold"
    """Stay at this weight and say so: measurements that come back, or a command, end it."""
    EXTEND = "Extend"
    """Give the step more time."""
    ROLLBACK = "Rollback"
    """Take the candidate back."""


class Patience(Model):
    """How long a verdict may stay away, and what then; of every metric that does not say otherwise."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "self.action in ['Hold', 'Rollback']",
                "Continue and Extend are said of one metric, because nobody goes on without all of them: write Hold or "
                "Rollback here, and the other in metrics[]",
            )
        )
    }

    after: Duration
    """Counted from the start of the step, or from the last measurement if that is later."""
    action: Action
    """`Hold`: stay at this weight and say so; `Rollback`."""


class OutcomeRule(Model):
    """What follows one verdict of one metric, and when."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "self.action == 'Extend' ? has(self.by) : !(has(self.by) || has(self.times) || has(self.then))",
                "by, times and then belong to Extend, and Extend needs by: write e.g. {after: 24h, action: Extend, by: "
                "12h, times: 2, then: Rollback}",
            ),
            rule(
                "!has(self.by) || self.by.matches('[1-9]')",
                "Extend by 0 is no more time: write e.g. by: 12h",
            ),
            rule(
                "!has(self.then) || self.then != 'Extend'",
                "then is what follows when no more time is given: write Continue, Hold or Rollback, and more of times",
            ),
        )
    }

    after: Duration
    """How long the verdict may stand. NoData, ProviderDown: since it was first reached, or since the step began if that
    is later. NotEnoughSamples: since the step began; only a step that asks for Pass waits. Fail: since it was reached,
    and until then the candidate stays at its weight; `0s`: at once."""
    action: Action
    """`Continue`, `Hold`, `Extend` or `Rollback`."""
    by: Duration | None = None
    """Of Extend: how much more time the step gets, each time."""
    times: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of Extend: how often. Unset: once."""
    then: Action | None = None
    """Of Extend: what follows the last. Unset: Rollback."""

    @property
    def most(self) -> int:
        """How often the step gets more time."""
        return (self.times or 1) if self.action is Action.EXTEND else 0

    @property
    def last(self) -> Action:
        """What follows when no more time is given."""
        return (self.then or Action.ROLLBACK) if self.action is Action.EXTEND else self.action


def metric_rules() -> list[dict[str, Any]]:
    """Return the rules on what may follow which verdict of a metric."""
    return [
        rule(
            "!has(self.onFail) || self.onFail.action in ['Hold', 'Rollback']",
            "a metric that fails holds or takes the candidate back: to measure without deciding anything write dryRun: "
            "true; more time mends no Fail",
        ),
        *(
            rule(
                f"!has(self.{name}) || self.{name}.action != 'Extend'",
                f"{name}: Extend waits longer for nothing: write a longer after",
            )
            for name in ("onNoData", "onProviderDown")
        ),
        *(
            rule(
                f"!has(self.{name}) || self.{name}.action != 'Continue' || self.{name}.after.matches('[1-9]')",
                f"{name}: Continue after 0s would never ask for a measurement: write e.g. after: 10m, or dryRun: true",
            )
            for name in ("onNoData", "onProviderDown", "onNotEnoughSamples")
        ),
        rule(
            "!has(self.dryRun) || !self.dryRun || !(has(self.onFail) || has(self.onNoData) || has(self.onProviderDown)"
            " || has(self.onNotEnoughSamples))",
            "dryRun decides nothing, so nothing follows its verdicts: remove dryRun, or onFail and the like",
        ),
    ]
