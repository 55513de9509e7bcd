"""One thing the candidate is judged by."""

from typing import Any, get_args

from belay_api.model import Model, alternatives, rule, rules
from belay_api.rollout.common import Name
from belay_api.rollout.compare import Compare
from belay_api.rollout.limit import Limit
from belay_api.rollout.margin import MarginText
from belay_api.rollout.outcome import OutcomeRule, metric_rules
from belay_api.rollout.sources import MetricSource
from belay_api.units import Duration

_MEASURED = [
    alias
    for alias, field in zip(alternatives(MetricSource), MetricSource.model_fields.values(), strict=True)
    if any(hasattr(kind, "unit") for kind in get_args(field.annotation))
]
_COMPARED = [
    alias
    for alias, field in zip(alternatives(MetricSource), MetricSource.model_fields.values(), strict=True)
    if any(getattr(kind, "compared", False) for kind in get_args(field.annotation))
]


def _any_source(of: list[str]) -> str:
    """Return the CEL of whether a metric has one of these sources."""
    return " || ".join(f"has(self.source.{name})" for name in of)


def _named(sources: list[str]) -> str:
    *others, last = (f"source.{name}" for name in sources)
    return f"{', '.join(others)} or {last}"


_NOT_COUNTED = (
    "!has(self.limit) || !has(self.limit.max) || !(has(self.source.serving) || has(self.source.gateway))"  # of requests
)
_NOT_GATEWAY = "!has(self.compare) || !has(self.source.gateway)"
_NOT_LOGBOOK = "!has(self.compare) || !has(self.source.logbook)"
_OUTCOME = "self.source.logbook.outcome"
_LATENCY = "(has(self.source.serving) && self.source.serving == 'latencyP99')"
_MAX = "string(self.limit.max)"
_NOT_QUERIED = "!has(self.source.prometheus)"


class Metric(Model):
    """One thing the candidate is judged by."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "has(self.compare) != has(self.limit)",
                "a metric is judged one way: set either compare or limit",
            ),
            rule(
                f"!has(self.compare) || has(self.source.gateway) || {_any_source(_COMPARED)}",
                f"compare needs both sides: use {_named(_COMPARED)}, or set limit instead of compare",
            ),
            rule(
                _NOT_GATEWAY,
                "compare of source.gateway is not offered: what a proxy counted is not remembered beyond a restart of "
                "the operator, and a comparison begun anew would spend its error again. Hold it to a limit, e.g. "
                "limit: {max: 5%}, or compare a query of source.prometheus",
            ),
            rule(
                f"!has(self.limit) || {_any_source(_MEASURED)}",
                f"limit needs a measurement: use {_named(_MEASURED)}, or set compare instead of limit",
            ),
            rule(
                f"{_NOT_COUNTED} || {_MAX}.endsWith({_LATENCY} ? 's' : '%')",
                "limit needs the unit of its measurement: write e.g. 100ms for latencyP99, 5% for errorRate",
            ),
            rule(
                f"{_NOT_COUNTED} || !{_LATENCY} || {_MAX}.matches('[1-9]')",
                "limit is 0, and no measurement could tell a good candidate from a bad one: write e.g. max: 100ms",
            ),
            rule(
                f"{_NOT_COUNTED} || !{_LATENCY} || !{_MAX}.endsWith('s') || duration({_MAX}) <= duration('60s')",
                "limit is longer than the 60s up to which serving pods tell latencies apart, and no candidate could "
                "break it: write e.g. max: 10s",
            ),
            rule(
                f"{_NOT_COUNTED} || !{_MAX}.endsWith('%') || double({_MAX}.replace('%', '')) < 100.0",
                "limit is 100% or more, and no error rate could tell a good candidate from a bad one: write e.g. 5%",
            ),
            rule(
                f"{_NOT_LOGBOOK} || !(has(self.compare.maxIncrease)"
                f" ? {_OUTCOME} in ['return', 'success'] : {_OUTCOME} == 'violations')",
                "compare takes back the better candidate: of return and success more is better, use maxRegression; of "
                "violations less is better, use maxIncrease",
            ),
            rule(
                f"{_NOT_LOGBOOK} || !has(self.compare.maxRegression) || !({_OUTCOME} in ['success', 'length'])"
                " || !string(self.compare.maxRegression).endsWith('%')"
                " || double(string(self.compare.maxRegression).replace('%', '')) < 100.0",
                "compare.maxRegression is 100% or more of an outcome that is never negative, and no candidate could "
                "fail it: write e.g. 5%",
            ),
            rule(
                f"{_NOT_LOGBOOK} || !has(self.compare.maxRegression) || {_OUTCOME} != 'success'"
                " || string(self.compare.maxRegression).endsWith('%')"
                " || double(string(self.compare.maxRegression)) < 1.0",
                "compare.maxRegression is 1 or more of an outcome that is 0 or 1, and every candidate would pass it: "
                'write e.g. "0.02", or 5% of stable\'s mean',
            ),
            rule(
                f"{_NOT_LOGBOOK} || !has(self.compare.maxIncrease) || {_OUTCOME} != 'violations'"
                " || !string(self.compare.maxIncrease).endsWith('%')",
                "compare.maxIncrease is a percentage of stable's violations, and where it has none a percentage "
                'decides nothing: write a number of violations an episode, e.g. "0.01"',
            ),
            rule(
                f"!has(self.limit) || !has(self.limit.min) || !{_NOT_QUERIED}",
                "limit.min is taken of source.prometheus alone: nobody is worse for being faster or failing less. "
                "Write max instead; for an outcome that must not fall, use source.logbook with compare.maxRegression",
            ),
            rule(
                f"!has(self.limit) || !{_NOT_QUERIED} || !has(self.limit.max) || !{_MAX}.startsWith('-')",
                "limit is below 0, and no measurement of the pods is: write e.g. 100ms or 5%",
            ),
            rule(
                f"!has(self.compare) || {_NOT_QUERIED}"
                " || self.source.prometheus.query.matches('[{][{] *version *[}][}]')",
                "compare asks the same about both sides: write {{version}} where prometheus.query names a version; it "
                "stands for the candidate and for stable in turn",
            ),
            rule(
                f"!has(self.grace) || {_NOT_QUERIED}",
                "grace is how long an episode is waited for, and prometheus.query tells of none: remove grace; how far "
                "it looks back is for the query to say",
            ),
            rule(
                "!has(self.grace) || has(self.compare)",
                "grace is how long a comparison waits for an outcome, and a limit waits for none: remove grace",
            ),
            rule(
                "!has(self.grace) || self.grace.matches('[1-9]')",
                "grace is 0, and no episode would count: write e.g. 14d",
            ),
            rule(
                "!has(self.maxRegret) || has(self.compare)",
                "maxRegret is what may be lost against stable, and a limit compares with nobody: remove maxRegret, or "
                "set it at a metric with compare, such as {source: {logbook: {outcome: return}}, compare: "
                "{maxRegression: 10%}, maxRegret: 5000}",
            ),
            rule(
                "!has(self.maxRegret) || has(self.source.logbook)",
                "maxRegret is a sum over episodes, and a query tells of none: set it at a metric of the logbook",
            ),
            rule(
                "!has(self.maxRegret) || !string(self.maxRegret).endsWith('%')",
                "maxRegret is a sum over all episodes of the candidate, in the outcome's own unit, and of a sum a "
                'percentage says nothing: write a number, e.g. 5000, and a fraction as text, "0.5"',
            ),
            rule(
                "!has(self.maxRegret) || string(self.maxRegret).matches('[1-9]')",
                "maxRegret is 0, and a candidate that is no worse may lose something by chance: write how much may be "
                "lost, e.g. 5000, or remove it",
            ),
            *metric_rules(),
        )
    }

    name: Name
    """Unique within the rollout."""
    source: MetricSource
    """Where it comes from."""
    compare: Compare | None = None
    """Judge by statistics against stable."""
    limit: Limit | None = None
    """Judge by a guard rail: the share of requests beyond it."""
    grace: Duration | None = None
    """Of a comparison, instead of `analysis.grace`: an episode counts if this outcome was reported within this time of
    its start. For what shows later than the episode ends, such as what a customer buys within two weeks: the verdict
    is NotEnoughSamples until the first episodes are so old. Unset: as the analysis says."""
    max_regret: MarginText | None = None
    """Of a comparison: what may be lost over the whole rollout, in the outcome's own unit. Lost is the sum, over the
    candidate's episodes, of what stable had at the same time less what the candidate had (where less is better, the
    other way round); `status.regret` shows it. Fail once it is shown that more is lost than this, with the error of
    `falseRollbackRate`: by then it is more, of a small limit several times as much. One metric may have it. Unset:
    any."""
    dry_run: bool = False
    """Measured, judged and told in status and Events, and nothing rests on it: no Pass is asked of it, its Fail takes
    nobody back, and it has no part of `falseRollbackRate`."""
    on_fail: OutcomeRule | None = None
    """What follows Fail: `Rollback`, after a time for people to look first, or `Hold`. Unset: Rollback at once."""
    on_no_data: OutcomeRule | None = None
    """What follows NoData: `Continue`, `Hold` or `Rollback`. Unset: as the analysis says."""
    on_provider_down: OutcomeRule | None = None
    """What follows ProviderDown: `Continue`, `Hold` or `Rollback`. Unset: as the analysis says."""
    on_not_enough_samples: OutcomeRule | None = None
    """What follows NotEnoughSamples in a step that asks for Pass: any of the four. It comes before the timeout of the
    step. Unset: as step and analysis say."""

    @property
    def needs_stable(self) -> bool:
        """Whether the first version is spared it, for want of a stable version beside it."""
        prometheus = self.source.prometheus
        return self.compare is not None or (prometheus is not None and prometheus.needs_stable)

    def judged_by(self) -> dict[str, Any]:
        """Return what it measures and is judged by, without what follows its verdicts."""
        said = self.dump()
        for name in ("onFail", "onNoData", "onProviderDown", "onNotEnoughSamples"):
            said.pop(name, None)
        # Metrics of earlier versions had no dryRun, and the hash of what they are judged by must stay what it was.
        return said if self.dry_run else {name: value for name, value in said.items() if name != "dryRun"}
