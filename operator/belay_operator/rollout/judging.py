"""Look at every metric, record what was seen, and take the candidate back when one fails.

Looks are taken from the moment the candidate's first weight is in force until its promotion, at every step. Only what
was measured since then counts. A fact that is missing (the operator has just started) is no look: the verdict recorded
before stands, but `seen` tells that it is of the record, and what cannot be undone waits for a look. Running numbers
are written every few seconds, a changed verdict at once.
"""

import math
from dataclasses import replace
from datetime import datetime, timedelta

from belay_api.reasons import Verdict
from belay_api.rollout import Metric, MetricVerdict, SampleStatus, ServingMeasure, WeightStatus
from belay_api.units import format_duration
from belay_operator.rollout import build
from belay_operator.rollout.analysis.evidence import Evidence, Sample
from belay_operator.rollout.analysis.grace import withheld
from belay_operator.rollout.analysis.limits import judge_limit
from belay_operator.rollout.analysis.queries import budget, comparisons, judged, limits
from belay_operator.rollout.facts import MIN_REQUESTS, WINDOW, OutcomeFact, ServingFact
from belay_operator.rollout.move import Move, changed, instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.rollback import begin

WRITE_EVERY = timedelta(seconds=5)  # a look a second would be a write a second
DIGITS = 6  # significant digits kept: more would only make numbers look different
TOO_FEW_REQUESTS = f"fewer than {MIN_REQUESTS} requests at the candidate in {format_duration(WINDOW)}"
NO_LOGBOOK = "Belay is installed without a logbook; install it, or judge by serving metrics"


def on_trial(observed: Observed) -> bool:
    """Whether the candidate is being judged."""
    status = observed.status
    return (
        status.candidate is not None
        and status.stable is not None
        and status.analysis_started_at is not None
        and status.step is not None
        and status.step.kind != "promote"
        and not observed.rolling_back
    )


def look(observed: Observed, now: datetime) -> Observed:
    """Return the world with this pass's verdicts."""
    if not on_trial(observed) or not observed.judgeable:
        return replace(observed, looks=None)
    before = {verdict.metric: verdict for verdict in observed.status.verdicts}
    fresh = _compared(observed, before, now) | _limited(observed, before)
    return replace(observed, looks=tuple(fresh[m.name] for m in observed.spec.analysis.metrics if m.name in fresh))


def seen(observed: Observed, metric: Metric) -> bool:
    """Whether the verdict on `metric` rests on a fact at hand, and not only on what an operator before us recorded."""
    if metric.limit is not None:
        return _scrape(observed) is not None
    return not observed.logbook or _answer(observed, metric) is not None


def record_applied(observed: Observed, now: datetime) -> Move | None:
    """Record the weight that the Gateway has accepted; with the first one above 0 the analysis begins."""
    status, weight = observed.status, observed.status.weight
    if weight is None or observed.rolling_back or not build.in_force(observed, now):
        return None
    begins = weight.desired > 0 and status.stable is not None and status.analysis_started_at is None
    if weight.applied == weight.desired and not begins:
        return None
    return Move(
        changed(
            status,
            weight=WeightStatus(desired=weight.desired, applied=weight.desired),
            analysis_started_at=instant(now) if begins else status.analysis_started_at,
        )
    )


def record_looks(observed: Observed, now: datetime) -> Move | None:
    """Record this pass's verdicts, when one has changed or the numbers on record are old."""
    if observed.looks is None or not on_trial(observed):
        return None
    if not _news(observed.status.verdicts, observed.looks) and not _old(observed.status.verdicts, observed.looks):
        return None
    weight = observed.status.weight
    share = observed_share(observed)
    if weight is not None and share is not None:
        weight = weight.model_copy(update={"observed": share})
    return Move(changed(observed.status, verdicts=list(observed.looks), weight=weight))


def fail(observed: Observed, now: datetime) -> Move | None:
    """Take the candidate back when a metric has failed, whatever the step."""
    if observed.looks is None or not on_trial(observed):
        return None
    for verdict in observed.looks:
        if verdict.verdict is Verdict.FAIL:
            message = f"{verdict.metric}: {verdict.message}"
            return begin(observed, now, reason="Verdict", message=message, metric=verdict.metric)
    return None


def observed_share(observed: Observed) -> float | None:
    """Return the candidate's share of requests in percent, by its pods' own counters; None: not measured."""
    status = observed.status
    if status.candidate is None or status.stable is None:
        return None
    facts = [observed.serving.get(side.policy) for side in (status.candidate, status.stable)]
    counts = [fact.requests for fact in facts if fact is not None and fact.requests is not None]
    if len(counts) < 2 or not sum(counts):
        return None
    return round(100 * counts[0] / sum(counts), 1)


def flush_after(observed: Observed) -> timedelta | None:
    """Return when held-back numbers are due to be written, or None when none are held back."""
    if observed.looks is None:
        return None
    held = {verdict.metric: verdict for verdict in observed.status.verdicts}
    ages = [
        new.at - held[new.metric].at
        for new in observed.looks
        if new.metric in held and not _same_numbers(held[new.metric], new)
    ]
    return max(WRITE_EVERY - max(ages), timedelta(milliseconds=100)) if ages else None


def _compared(observed: Observed, before: dict[str, MetricVerdict], now: datetime) -> dict[str, MetricVerdict]:
    """Looks at the metrics that are compared with stable."""
    status = observed.status
    assert status.candidate is not None
    assert status.stable is not None
    candidate, stable, grace = status.candidate.policy, status.stable.policy, observed.spec.analysis.grace
    fresh: dict[str, MetricVerdict] = {}
    spend = budget(observed.spec.analysis)
    for metric, comparison in comparisons(observed.spec.analysis):
        old = before.get(metric.name)
        answer = _answer(observed, metric)
        if not observed.logbook:
            evidence = Evidence(metric.name, Verdict.PROVIDER_DOWN, NO_LOGBOOK)
            fresh[metric.name] = _verdict(evidence, old, at=old.at if old else instant(now), query=None)
        elif answer is not None:
            evidence = judged(comparison, answer, candidate, stable, spend)
            evidence = withheld(evidence, answer.statistics, candidate=candidate, stable=stable, grace=grace)
            if answer.problem is not None:
                evidence = replace(evidence, message=answer.problem)
            fresh[metric.name] = _verdict(evidence, old, at=answer.at, query=answer.query)
        elif old is not None:
            fresh[metric.name] = old
    return fresh


def _answer(observed: Observed, metric: Metric) -> OutcomeFact | None:
    """What the logbook last said about a metric's outcome in this trial; None: nothing yet."""
    status, fact = observed.status, observed.statistics
    assert status.candidate is not None
    assert status.stable is not None
    trial = (status.candidate.policy, status.stable.policy, status.analysis_started_at)
    if fact is None or metric.source.logbook is None or (fact.candidate, fact.stable, fact.since) != trial:
        return None
    return fact.outcomes.get(metric.source.logbook.outcome)


def _limited(observed: Observed, before: dict[str, MetricVerdict]) -> dict[str, MetricVerdict]:
    """Looks at the guard rails: one per scrape, so that breaches are counted once each."""
    candidate, fact = observed.status.candidate, _scrape(observed)
    assert candidate is not None
    fresh: dict[str, MetricVerdict] = {}
    for metric, limit in limits(observed.spec.analysis):
        old = before.get(metric.name)
        # Not "no later than": an operator whose clock is behind that of the one before it would be blind for as long.
        if fact is None or (old is not None and fact.at == old.at):
            if old is not None:
                fresh[metric.name] = old
            continue
        breaches = (old.breaches or 0) if old else 0
        evidence = judge_limit(limit, _measured(metric, fact), breaches=breaches)
        if fact.problem is not None:
            evidence = replace(evidence, message=fact.problem)
        elif evidence.verdict is Verdict.NO_DATA:
            evidence = replace(evidence, message=TOO_FEW_REQUESTS)
        query = f"{metric.source.serving} of the pods of {candidate.policy}"
        fresh[metric.name] = _verdict(evidence, old, at=fact.at, query=query)
    return fresh


def _scrape(observed: Observed) -> ServingFact | None:
    """The last scrape of the candidate's pods in this trial; None: there was none yet."""
    candidate, started = observed.status.candidate, observed.status.analysis_started_at
    assert candidate is not None
    fact = observed.serving.get(candidate.policy)
    # One from before is of an earlier trial, or of requests that came before the weight.
    return None if fact is not None and started is not None and fact.at < started else fact


def _measured(metric: Metric, fact: ServingFact) -> float | None:
    """The measurement as `judge_limit` wants it: None for a provider that is down, NaN for nothing to measure."""
    if fact.problem is not None:
        return None
    value = fact.latency_p99 if metric.source.serving is ServingMeasure.LATENCY_P99 else fact.error_rate
    return math.nan if value is None else value


def _verdict(evidence: Evidence, old: MetricVerdict | None, *, at: datetime, query: str | None) -> MetricVerdict:
    """The verdict as status stores it."""
    interval = evidence.interval
    bounds = [_short(bound) for bound in interval if bound is not None and math.isfinite(bound)] if interval else []
    return MetricVerdict(
        metric=evidence.metric,
        verdict=evidence.verdict,
        message=evidence.message,
        candidate=_sample(evidence.candidate),
        stable=_sample(evidence.stable),
        difference=_short(evidence.difference),
        interval=bounds if len(bounds) == 2 else None,
        fail_below=_short(evidence.fail_below),
        pass_above=_short(evidence.pass_above),
        grace_too_short=evidence.grace_too_short or None,
        value=_short(evidence.value),
        breaches=evidence.breaches,
        query=query,
        since=old.since if old is not None and old.verdict is evidence.verdict and old.since else at,
        at=at,
    )


def _sample(sample: Sample | None) -> SampleStatus | None:
    return (
        None
        if sample is None
        else SampleStatus(
            episodes=sample.episodes, mean=_short(sample.mean), missing=sample.missing, late=sample.late or None
        )
    )


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def _news(before: list[MetricVerdict], looks: tuple[MetricVerdict, ...]) -> bool:
    """Whether something other than running numbers has changed."""
    return [(v.metric, v.verdict, v.message, v.breaches) for v in before] != [
        (v.metric, v.verdict, v.message, v.breaches) for v in looks
    ]


def _old(before: list[MetricVerdict], looks: tuple[MetricVerdict, ...]) -> bool:
    """Whether numbers on record differ from those seen and are old; called when the metrics are the same."""
    return any(
        new.at - held.at >= WRITE_EVERY and not _same_numbers(held, new)
        for held, new in zip(before, looks, strict=True)
    )


def _same_numbers(held: MetricVerdict, new: MetricVerdict) -> bool:
    return held.model_copy(update={"at": new.at}) == new
