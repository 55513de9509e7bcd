"""Pass against the anchor: without it a comparison that passes against stable is NotEnoughSamples.

It is asked with the same margin, which is then what all candidates since the approval may be worse by together. A
candidate worse than the anchor and not than stable is nobody's fault: it is never taken back by this, it only never
passes, and the patience of the spec ends that. Where the anchor cannot be served it is left out, and `ratchet` says
whether a person is asked in its place.
"""

from dataclasses import replace
from datetime import datetime

from belay_api.reasons import Verdict
from belay_api.rollout.margin import Margin
from belay_api.rollout.status import VersionStatus
from belay_api.rollout.verdicts import AnchorVerdict, MetricVerdict
from belay_operator.rollout import anchor, stored
from belay_operator.rollout.analysis.evidence import Evidence
from belay_operator.rollout.analysis.queries import Criterion, judged
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.observed import Observed

Held = tuple[Evidence, AnchorVerdict | None]
"""The evidence that counts, and what is said of the anchor; None: none is needed."""


def held(evidence: Evidence, asked: Criterion, reading: Reading, observed: Observed, now: datetime) -> Held:
    """Return the evidence against stable as far as the anchor lets it pass, and what is said of the anchor.

    Args:
        asked: What was asked about stable, at the present weight.
    """
    version = anchor.needed(observed)
    if version is None:
        return evidence, None
    excuse = anchor.unservable(observed, now)
    against = judged(replace(asked, stable=version.policy, spend=asked.spend.only_pass), reading)
    passes = evidence.verdict is Verdict.PASS
    withholds = passes and against.verdict is not Verdict.PASS and excuse is None
    said = _stored(against, version, asked.comparison.margin, excuse, withholds=withholds)
    if not withholds:
        both = passes and against.verdict is Verdict.PASS
        return replace(evidence, message=f"{evidence.message}, and {said.message}") if both else evidence, said
    message = f"not worse than stable by as much as the allowed regression, but {said.message}"
    return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=message), said


def recorded(old: MetricVerdict, observed: Observed, now: datetime) -> MetricVerdict:
    """Return a verdict on record, without a Pass that was reached before this anchor was needed."""
    version = anchor.needed(observed)
    if old.verdict is not Verdict.PASS or old.limit is not None or version is None:
        return old
    known = old.anchor
    passed = known is not None and known.policy == version.policy and known.verdict is Verdict.PASS
    if passed or anchor.unservable(observed, now) is not None:
        return old
    message = f"not looked at against {version.policy}, the last version a person approved"
    return old.model_copy(update={"verdict": Verdict.NOT_ENOUGH_SAMPLES, "message": message})


def _stored(
    evidence: Evidence, version: VersionStatus, margin: Margin, excuse: str | None, *, withholds: bool
) -> AnchorVerdict:
    return AnchorVerdict(
        policy=version.policy,
        verdict=evidence.verdict,
        message=_message(evidence, version.policy, margin, excuse),
        withholds=withholds or None,
        anchor=stored.sample(evidence.stable),
        difference=stored.short(evidence.difference),
        interval=stored.interval(evidence.interval),
        pass_above=stored.short(evidence.pass_above),
    )


def _message(evidence: Evidence, policy: str, margin: Margin, excuse: str | None) -> str:
    allowed = f"{100 * margin.value:.4g} %" if margin.relative else f"{margin.value:.6g}"
    if evidence.verdict is Verdict.PASS:
        return f"within {allowed} of {policy}, the last version a person approved"
    if excuse is not None:
        return f"left out: {excuse}"
    words = {
        Verdict.NO_DATA: ": no episode of both has ended within grace yet",
        Verdict.PROVIDER_DOWN: f": {evidence.message}",
    }.get(evidence.verdict, "")
    if evidence.grace_too_short:
        words = ": episodes take longer than analysis.grace"
    return f"not shown to be within {allowed} of {policy}, the last version a person approved{words}"
