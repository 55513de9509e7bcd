"""The verdict on a metric with a limit, and the state that its evidence is carried in, in status.

The evidence itself is in `analysis.limits`; here it is read from status, counted on, and said. A breach that is proven
fails whatever else is the matter: pods that do not answer must not hide those that do.
"""

from datetime import datetime

from belay_api.reasons import Verdict
from belay_api.rollout.metric import Metric
from belay_api.rollout.status import WeightStatus
from belay_api.rollout.verdicts import LimitStatus, MetricVerdict
from belay_operator.rollout.analysis.blocks import Held, hold, waiting
from belay_operator.rollout.analysis.evidence import Evidence
from belay_operator.rollout.analysis.limits import FAIL_AT, PASS_AT, STAKES, Counted, Rail
from belay_operator.rollout.analysis.queries import limit_of
from belay_operator.rollout.facts import Counts, Reading

QUIET_S = 60.0  # without a request, and nothing is known of the candidate as it is now


def look(rail: Rail, reading: Reading, old: MetricVerdict | None, weight: WeightStatus | None) -> Evidence:
    """Return the verdict on a limit by all that was counted up to this reading.

    Args:
        old: The verdict on record, which says up to where requests are judged; None: there is none.
        weight: The candidate's; what counts for Pass was counted under it.
    """
    counts, before = reading.counts, _held(old)
    held = before if counts is None else hold(rail, counts, before, _accepted(weight))
    if held is not None and held.against >= FAIL_AT:
        known = old is not None and old.verdict is Verdict.FAIL  # its numbers go on, and no message may
        message = old.message if old is not None and known else _breach(rail, held)
        return Evidence(rail.metric, Verdict.FAIL, message, held=held)
    if reading.problem is not None:
        return Evidence(rail.metric, Verdict.PROVIDER_DOWN, reading.problem, held=held)
    said = old is not None and old.verdict is Verdict.NO_DATA and _same_requests(before, held)
    if reading.refused or counts is None or held is None or _silent(rail, counts, held, said=said):
        return Evidence(rail.metric, Verdict.NO_DATA, reading.absence or "no requests at the candidate", held=held)
    if held.in_favour >= 1:
        return Evidence(rail.metric, Verdict.PASS, "within its limit", held=held)
    message = "not known yet to be within its limit, nor beyond it"
    return Evidence(rail.metric, Verdict.NOT_ENOUGH_SAMPLES, message, held=held)


def unsettled(metric: Metric, verdict: MetricVerdict | None) -> bool:
    """Return whether a metric with a limit was not looked at yet, or may be in a breach: no time for a promotion.

    No requests are no breach, but those that stop coming mend none either.
    """
    rail = limit_of(metric)
    if rail is None:
        return False
    held = _held(verdict)
    if held is None or held.share is None:
        return verdict is None or verdict.verdict is not Verdict.NO_DATA
    return held.suspicious(rail)


def recorded(held: Held) -> LimitStatus:
    """Return the state as status has it."""
    return LimitStatus(
        share=None if held.share is None else _short(held.share),
        beyond=round(held.beyond),
        requests=round(held.requests),
        bound=held.bound_s,
        against=_short(held.against),
        in_favour=_short(held.in_favour),
        stakes=[_short(one) for one in held.evidence],
        weight=held.weight,
        weight_since=held.weight_since,
        counting=held.counting,
        scrape=held.scrape,
    )


def _held(verdict: MetricVerdict | None) -> Held | None:
    """The state on record; None: there is none, or it is of an operator that stakes otherwise."""
    said = verdict.limit if verdict is not None else None
    if said is None or len(said.stakes) != STAKES.size:
        return None
    return Held(
        counting=said.counting,
        scrape=said.scrape,
        evidence=tuple(said.stakes),
        wealth=PASS_AT**said.in_favour,
        weight=said.weight,
        weight_since=said.weight_since,
        requests=said.requests,
        beyond=said.beyond,
        share=said.share,
        bound_s=said.bound,
    )


def _accepted(weight: WeightStatus | None) -> tuple[datetime, float] | None:
    if weight is None or weight.since is None or weight.applied is None:
        return None
    return weight.since, weight.applied


def _silent(rail: Rail, counts: Counts, held: Held, *, said: bool) -> bool:
    """Whether the candidate has had no requests for a while; for the time of a block, where it never had any.

    Where that was `said`, it holds until one comes, also for an operator that has only begun to count.
    """
    if waiting(counts, held):
        return False
    return said or counts.scrapes[-1].quiet_s >= (rail.block_s if held.share is None else QUIET_S)


def _same_requests(before: Held | None, held: Held | None) -> bool:
    return (before and (before.requests, before.weight_since)) == (held and (held.requests, held.weight_since))


def _breach(rail: Rail, held: Held) -> str:
    """What was seen. It is final, so numbers may stand in it."""
    if rail.counted is Counted.SHARES:
        of = "lies below 1 by" if rail.below else "is"
        return (
            f"the share {of} {_percent(held.share or 0)} at the last of {round(held.requests)} looks; "
            f"{_percent(rail.allowed)} is allowed"
        )
    if rail.counted is Counted.LOOKS:
        return (
            f"{round(held.beyond)} of {round(held.requests)} looks, and the last one, gave a number "
            f"{'below' if rail.below else 'above'} {rail.bound:g}; {_percent(rail.allowed)} of them may"
        )
    went = "failed" if held.bound_s is None else f"took longer than {held.bound_s:g} s"
    return (
        f"{round(held.beyond)} of {round(held.requests)} requests {went}, and {_percent(held.share or 0)} of the last "
        f"ones; {_percent(rail.allowed)} may"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _short(value: float) -> float:
    return float(f"{value:.6g}")
