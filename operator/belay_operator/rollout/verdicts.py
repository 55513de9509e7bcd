"""From readings to this pass's verdicts, one on each metric.

Verdicts are reached from the moment the candidate's first weight is in force until its promotion, at every step. Fail
rests on everything measured since then; Pass only on what was measured at the present weight. With all traffic at the
candidate a comparison gathers nothing new, so there the evidence stays as it was.

A Pass of a comparison also needs one against the anchor, where that is served (`anchored`).

While the condition SampleRatio stands no comparison passes; whether it does is recorded before verdicts are.

Without a reading (the operator has just started) the recorded verdict stands. A verdict belongs to the definition of
its metric: under the old name, a metric that was redefined begins anew.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from belay_api.conditions import get_condition
from belay_api.reasons import Verdict
from belay_api.rollout.metric import Metric
from belay_api.rollout.verdicts import AnchorVerdict, CovariateStatus, MetricVerdict
from belay_operator.rollout import anchored, rails, stored
from belay_operator.rollout.analysis.evidence import Evidence
from belay_operator.rollout.analysis.known import Known, known
from belay_operator.rollout.analysis.queries import (
    Criterion,
    budget,
    comparison_of,
    definition_of,
    grace_of,
    judged,
    limit_of,
)
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.move import instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.route import baseline_of
from belay_operator.rollout.stepping import kind_under_way
from belay_operator.rollout.trials import trial_of

SAMPLE_RATIO = "SampleRatio"
"""The condition that stands while episodes do not begin where the weights send them (situations/sample_ratio_off)."""


def is_judged(observed: Observed) -> bool:
    """Whether the candidate is being judged."""
    status, kind = observed.status, kind_under_way(observed)
    return (
        status.candidate is not None
        and status.analysis_started_at is not None
        and kind is not None
        and kind.judged
        and not observed.rolling_back
    )


def reach(observed: Observed, now: datetime) -> tuple[MetricVerdict, ...] | None:
    """Return this pass's verdicts; None: nobody is judged."""
    return looks(observed, observed.spec.analysis.metrics, now) if is_judged(observed) else None


def looks(observed: Observed, metrics: Iterable[Metric], now: datetime) -> tuple[MetricVerdict, ...]:
    """Return the verdicts on the candidate, one on each of the metrics of which anything can be said."""
    analysis = observed.spec.analysis
    recorded = {(verdict.metric, verdict.definition): verdict for verdict in observed.status.verdicts}
    verdicts = []
    for metric in metrics:
        definition = definition_of(metric, analysis)
        verdict = _verdict(metric, observed, recorded.get((metric.name, definition)), now)
        if verdict is not None:
            own = {"definition": definition, "dry_run": metric.dry_run or None}
            verdicts.append(verdict.model_copy(update=own))
    return tuple(verdicts)


def _verdict(metric: Metric, observed: Observed, old: MetricVerdict | None, now: datetime) -> MetricVerdict | None:
    """The verdict on one metric; None: nothing can be said, not even that something is missing."""
    # The first version is spared what needs stable: there is nothing to compare it with.
    if metric.needs_stable and observed.status.stable is None:
        return None
    reading = observed.readings.get(metric.name)
    if reading is None:
        return old and anchored.recorded(old, observed, now)
    rail = limit_of(metric)
    if rail is not None:
        evidence = rails.look(rail, reading, old, observed.status.weight)
        since = evidence.held.weight_since if evidence.held is not None else None
        return _stored(evidence, reading, old, evidence_since=since, now=now)
    return _compared(metric, reading, observed, old, now=now)


def judgement_of(metric: Metric, observed: Observed) -> Criterion | None:
    """Return what is asked of everything since the candidate's first weight; None: the metric is not compared."""
    status, analysis, before = observed.status, observed.spec.analysis, _known(metric, observed)
    comparison, spend = comparison_of(metric, before), budget(analysis, metric, trial=trial_of(status))
    if comparison is None:
        return None
    by_user = observed.spec.traffic.by_user
    counts = None if by_user else analysis.counts_regret  # a sum over all episodes, of which one a user is known
    return Criterion(
        comparison=replace(comparison, users=by_user),
        candidate=status.candidate.policy if status.candidate else "",
        stable=status.stable.policy if status.stable else "",
        spend=spend if counts is not None and counts.name == metric.name else replace(spend, regret=None),
        grace=grace_of(metric, analysis),
        since=None,
        not_before=_ripe(metric, status.analysis_started_at),
        window=analysis.window,
        baseline=baseline_of(status),
        known=before,
    )


def _known(metric: Metric, observed: Observed) -> Known:
    """What the artifacts of both sides know of a metric's outcome."""
    status, logbook = observed.status, metric.source.logbook
    if logbook is None or status.candidate is None or status.stable is None:
        return Known()
    views = [(side, observed.policies.get(side.policy)) for side in (status.candidate, status.stable)]
    told = [view.outcomes if view is not None and view.digest == side.digest else None for side, view in views]
    return known(logbook.outcome, *told)


def _compared(
    metric: Metric, reading: Reading, observed: Observed, old: MetricVerdict | None, *, now: datetime
) -> MetricVerdict | None:
    weight = observed.status.weight
    ask = judgement_of(metric, observed)
    if ask is None:
        return None
    overall, since = judged(ask, reading), weight.since if weight else None
    if old is not None and old.verdict is Verdict.FAIL:
        # A Fail is final, where it takes nobody back as well: what it would have done, or has people look at, stands.
        overall = replace(overall, verdict=Verdict.FAIL, message=old.message)
    gathering = weight is not None and weight.applied != 100
    if overall.verdict is Verdict.FAIL or since is None or not gathering:
        return _stored(
            _withheld(overall, observed), reading, old, evidence_since=None, now=now, anchor=_last(old, observed)
        )
    # What was lost is counted over the whole rollout.
    ask = replace(ask, since=since, not_before=_ripe(metric, since), spend=replace(ask.spend, regret=None))
    evidence, anchor = anchored.held(_withheld(judged(ask, reading), observed), ask, reading, observed, now)
    anchor = anchor or _last(old, observed)
    return _stored(evidence, reading, old, evidence_since=since, now=now, anchor=anchor)


def _ripe(metric: Metric, since: datetime | None) -> datetime | None:
    """When the first episodes since then are old enough for a grace of the metric's own; None: it has none."""
    return None if metric.grace is None or since is None else since + metric.grace


def _last(old: MetricVerdict | None, observed: Observed) -> AnchorVerdict | None:
    """What was last said of the present anchor: with all traffic at the candidate it is not asked any more."""
    said, anchor = old.anchor if old is not None else None, observed.status.anchor
    return said if said is not None and anchor is not None and said.policy == anchor.policy else None


def _withheld(evidence: Evidence, observed: Observed) -> Evidence:
    """Return the evidence without Pass while the two sides' starts are not those that the weights ask for."""
    off = get_condition(observed.status.conditions, SAMPLE_RATIO)
    if off is None or evidence.verdict is not Verdict.PASS:
        return evidence
    return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=off.message)


def _stored(
    evidence: Evidence,
    reading: Reading,
    old: MetricVerdict | None,
    *,
    evidence_since: datetime | None,
    now: datetime,
    anchor: AnchorVerdict | None = None,
) -> MetricVerdict:
    """The verdict as status stores it."""
    at = reading.at or (old.at if old else instant(now))
    # A logbook that is away mends no grace.
    still = evidence.verdict is Verdict.PROVIDER_DOWN and old is not None and old.grace_too_short is True
    return MetricVerdict(
        metric=evidence.metric,
        verdict=evidence.verdict,
        message=evidence.message,
        candidate=stored.sample(evidence.candidate),
        stable=stored.sample(evidence.stable),
        difference=stored.short(evidence.difference),
        interval=stored.interval(evidence.interval),
        fail_below=stored.short(evidence.fail_below),
        pass_above=stored.short(evidence.pass_above),
        range=[float(f"{end:.3g}") for end in evidence.range] if evidence.range else None,
        anchor=anchor,
        covariate=CovariateStatus(explains=round(evidence.explained, 2)) if evidence.explained is not None else None,
        range_from=list(evidence.range_from) if evidence.range_from else None,
        grace_too_short=evidence.grace_too_short or still or None,
        limit=rails.recorded(evidence.held) if evidence.held is not None else None,
        query=reading.query or None,
        since=old.since if old is not None and old.verdict is evidence.verdict and old.since else at,
        followed=old.followed if old is not None else None,
        evidence_since=evidence_since,
        at=at,
    )
