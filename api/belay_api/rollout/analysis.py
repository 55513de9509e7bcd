"""How the candidate is judged."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from belay_api.model import Model, rule, rules
from belay_api.rollout.metric import Metric
from belay_api.rollout.outcome import Action, Patience
from belay_api.units import Duration, duration_default


def _patience(after: str, action: Action) -> Patience:
    return Patience.model_validate({"after": after, "action": action})


class AnchorUse(StrEnum):
    """What keeps allowed regressions from adding up. The anchor is the last version a person approved."""

    APPROVE = "Approve"
    """A person is asked after `approveAfter` versions."""
    SERVE = "Serve"
    """The anchor gets pods and part of stable's traffic while a candidate is on trial, and each Pass also needs a Pass
    against it, with the same margin. A person is asked only while it cannot be served."""


class AnalysisSpec(Model):
    """How the candidate is judged."""

    model_config = {
        "json_schema_extra": rules(
            *(
                rule(
                    f"!has(self.{name}) || self.{name}.matches('[1-9]')",
                    f"analysis.{name} is 0, and no episode would count: write e.g. 1m",
                )
                for name in ("window", "grace")
            ),
            rule(
                "!has(self.metrics) || self.metrics.filter(m, has(m.maxRegret)).size() <= 1",
                "maxRegret is one number: keep it at the metric that losses are counted in, and hold the others by "
                "their margins",
            ),
        )
    }

    window: Duration = duration_default("1m")
    """Episodes are compared only with those that started in the same window of this length, and under the same weight.
    Shorter: less of what changes in the world within it counts as a difference. One with episodes of one side only says
    nothing of their outcomes."""
    grace: Duration = duration_default("1m")
    """An episode counts if it ended within this time of its own start, else it is missing. At least the longest
    episode; every verdict lags by it."""
    false_rollback_rate: Annotated[float, Field(gt=0, le=0.25)] = 0.01
    """Chance that a candidate that is not worse is rolled back by statistics: over the whole rollout, all compared
    metrics together, however often it looks."""
    metrics: Annotated[
        list[Metric],
        Field(
            max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = Field(default_factory=list)
    """What the candidate is judged by."""
    approve_after: Annotated[int, Field(ge=0, le=1000)] = 2
    """Versions promoted by their verdicts since a person last approved one; before a further candidate somebody must
    send the command `approve`, because each may be worse than the one before by what is allowed. 0: never."""
    anchor: AnchorUse = AnchorUse.APPROVE
    """`Approve`: a person is asked after `approveAfter` versions. `Serve`: the last version a person approved is served
    beside each candidate, with `replicas` pods and at most half of what the candidate leaves, and a Pass of a
    comparison also needs a Pass against it with the same margin; a person is asked only where it cannot be served. Its
    RLPolicy must be kept for that."""
    on_no_data: Patience = _patience("10m", Action.HOLD)
    """Nothing measured for one side. A metric's own `onNoData` comes first, and so of the next two."""
    on_provider_down: Patience = _patience("15m", Action.HOLD)
    """The logbook or the pods do not answer."""
    on_not_enough_samples: Patience = _patience("24h", Action.ROLLBACK)
    """An analyze step that never gets its verdict."""

    @property
    def counts_regret(self) -> Metric | None:
        """The metric that losses are counted in: that of maxRegret, else the first that compares episodes."""
        compared = [one for one in self.deciding if one.compare is not None and one.source.logbook is not None]
        limited = [metric for metric in self.metrics if metric.max_regret is not None]
        return next(iter([*limited, *compared]), None)

    @property
    def deciding(self) -> list[Metric]:
        """The metrics that a decision may rest on."""
        return [metric for metric in self.metrics if not metric.dry_run]
