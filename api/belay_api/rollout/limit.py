"""A guard rail: the candidate alone, held to a limit."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from belay_api.model import Model, rule, rules
from belay_api.units import Duration, duration_default

LIMIT_PATTERN = r"^-?[0-9]{1,12}(\.[0-9]{1,9})?(ms|s|%)?$"


def _text(value: Any) -> Any:
    """What a resource says as text: a whole number may stand without quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _known(value: str) -> str:
    if not re.match(LIMIT_PATTERN, value):
        raise ValueError(f"{value!r} is no limit; write a duration (100ms), a share (5%) or a number (10)")
    return value


LimitText = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(_known),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": LIMIT_PATTERN,
            "maxLength": 26,
        }
    ),
]
"""A duration, a share or a number; of a number, a fraction is text (decision 013)."""
LONGEST_LATENCY = timedelta(seconds=60)
"""The largest limit on a latency: serving pods tell answers apart up to this, and a slower one from those within it."""


class Limit(Model):
    """A guard rail for the candidate alone: `max` holds for 99 % of requests (latencyP99), or is the share of them that
    may fail (errorRate). Of what Prometheus is asked, a bound with `%` is what the value may be on average, as a share
    of 1; any other holds at 95 % of the looks."""

    model_config = {
        "json_schema_extra": rules(
            rule("has(self.max) != has(self.min)", "a limit has one bound: set either max or min"),
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

    max: LimitText | None = None
    """Not above: a duration up to 60s (`100ms`) for latencyP99, a share (`5%`) for errorRate; what Prometheus is asked
    for may be either, or a number (`10`, `"0.5"`, `"-200"`). A duration is compared with seconds, a share with a value
    from 0 to 1."""
    min: LimitText | None = None
    """Not below, written in the same ways; of Prometheus alone."""
    false_rollbacks_per_day: Annotated[float, Field(gt=0, le=1)] = 0.01
    """How often in a day of requests a candidate exactly on the limit may be rolled back: 0.01 is once in 100 days. One
    that keeps it clearly never is. Less finds a breach later: ten times less, by about a fifth."""
    tolerates: Duration = duration_default("5s")
    """1s to 60s: whatever goes wrong within this time counts once, be it one request or ten thousand. At least a few
    times as long as a usual hiccup. A total outage is found after two to four of these where 1 % may lie beyond, after
    three to seven where 5 % may."""
