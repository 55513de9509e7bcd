"""A guard rail: the candidate alone, held to a limit."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from belay_api.model import Model, rule, rules
from belay_api.units import Duration, duration_default

_LimitText = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|%)?$", max_length=16)]
LONGEST_LATENCY = timedelta(seconds=60)
"""The largest limit on a latency: serving pods tell answers apart up to this, and a slower one from those within it."""


class Limit(Model):
    """A guard rail for the candidate alone: `max` holds for 99 % of requests (latencyP99), or is the share of them that
    may fail (errorRate)."""

    model_config = {
        "json_schema_extra": rules(
            rule("has(self.max) != has(self.min)", "a limit has one bound: set max"),
            rule(
                "!has(self.min)",
                "limit.min is not taken: nobody is worse for being faster or failing less. Write max instead; for an "
                "outcome that must not fall, use source.logbook with compare.maxRegression",
            ),
            rule(
                # Not by `minimum`: the API server rounds it down to 0 where a whole number is written.
                "!has(self.falseRollbacksPerDay) || self.falseRollbacksPerDay >= 0.0001",
                "limit.falseRollbacksPerDay is below 0.0001, once in 10,000 days: write e.g. 0.01",
            ),
            rule(
                "!has(self.tolerates) || self.tolerates.matches('^([0-9.]+(m|s|ms))+$')"
                " && duration(self.tolerates) >= duration('1s') && duration(self.tolerates) <= duration('60s')",
                "limit.tolerates is 1s to 60s: what goes wrong within that time counts once; write e.g. 5s",
            ),
        )
    }

    max: _LimitText | None = None
    """Not above: a duration up to 60s (`100ms`) for latencyP99, a share (`5%`) for errorRate."""
    min: _LimitText | None = None
    """Not taken."""
    false_rollbacks_per_day: Annotated[float, Field(gt=0, le=1)] = 0.01
    """How often in a day of requests a candidate exactly on the limit may be rolled back: 0.01 is once in 100 days. One
    that keeps it clearly never is. Less finds a breach later: ten times less, by about a fifth."""
    tolerates: Duration = duration_default("5s")
    """1s to 60s: whatever goes wrong within this time counts once, be it one request or ten thousand. At least a few
    times as long as a usual hiccup. A total outage is found after two to four of these where 1 % may lie beyond, after
    three to seven where 5 % may."""
