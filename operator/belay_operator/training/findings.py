"""What the diagnosis finds in a job: what it finds in the seeds, and where the seeds disagree.

Words carry numbers, and numbers move with every heartbeat. So a reason keeps the words with which it was first told,
and a status changes only when reasons do.
"""

import math
from collections.abc import Sequence

from belay_api.findings import EARLY, MOST_FINDINGS, Finding, JobFinding
from belay_api.reasons import EventReason, FindingReason
from belay_api.training import RLTrainingJobStatus, SeedPhase, SeedStatus
from belay_operator.engine.plan import Note
from belay_operator.training.observed import Observed

FEWEST_SEEDS = 3  # that ended, before any can be called the exception
GAINED_NOTHING = 0.1  # of what the best seed has over random actions
CLEAR = 10.0  # standard errors of what random actions return: a gain by less may be chance
_ORDER = {reason.value: place for place, reason in enumerate(FindingReason)}


def seed_findings(observed: Observed, index: int) -> list[Finding] | None:
    """Return what is found in one seed; None: nothing newer is known than what status says."""
    view, beat = observed.workload.seed(index), observed.heartbeat(index)
    last = view.success
    if last is None and view.end is SeedPhase.FAILED and view.reports:
        last = view.reports[-1]
    if last is not None:
        return last.findings
    return None if beat is None else beat.findings or []


def job_findings(observed: Observed, seeds: Sequence[SeedStatus]) -> list[JobFinding] | None:
    """Return what is found in all seeds together, the first ones in the order of `FindingReason`; None: nothing."""
    words = {one.reason: one for seed in reversed(seeds) for one in seed_findings(observed, seed.index) or ()}
    words |= {one.reason: one for one in observed.status.findings or ()}
    counts: dict[str, int] = {}
    for seed in seeds:
        for reason in dict.fromkeys(seed.findings or ()):
            counts[reason] = counts.get(reason, 0) + 1
    # A reason without words was told by a pod that is gone, at a time when three others stood before it.
    found = [
        JobFinding(reason=reason, message=words[reason].message, advice=words[reason].advice, seeds=count)
        for reason, count in counts.items()
        if reason in words
    ]
    if (apart := _disagreement(observed, seeds)) is not None:
        found.append(apart)
    found.sort(key=lambda one: _ORDER.get(one.reason, len(_ORDER)))  # those of a newer trainer last
    return found[:MOST_FINDINGS] or None


def finding_notes(before: RLTrainingJobStatus, after: RLTrainingJobStatus) -> list[Note]:
    """Return an event for each reason that was not there before."""
    known = {one.reason for one in before.findings or ()}
    return [
        Note(EventReason.FINDING_REPORTED, f"{one.reason}: {one.message} {one.advice}", warning=True)
        for one in after.findings or ()
        if one.reason not in known
    ]


def _disagreement(observed: Observed, seeds: Sequence[SeedStatus]) -> JobFinding | None:
    """Find seeds that learned nothing beside one that clearly learned, once all that count are done."""
    gains = {seed.index: gain for seed in seeds if (gain := _gain(seed)) is not None}
    if len(gains) < FEWEST_SEEDS or observed.spec.budget.steps < EARLY:
        return None
    by_index = {seed.index: seed for seed in seeds}
    best = by_index[max(gains, key=lambda index: gains[index])]
    if best.random is None or best.random.std is None or best.return_ is None:
        return None
    gain = gains[best.index]
    if gain <= CLEAR * best.random.std / math.sqrt(best.random.episodes) or gain <= 0:
        return None
    left = [by_index[index] for index, other in gains.items() if other < GAINED_NOTHING * gain]
    if not left:
        return None
    highest = max(seed.return_ for seed in left if seed.return_ is not None)
    return JobFinding(
        reason=FindingReason.SEEDS_DISAGREE.value,
        message=f"{len(left)} of {len(gains)} seeds gained less than a tenth of what seed {best.seed} did: they return "
        f"{highest:.4g} at most, it returns {best.return_:.4g}, random actions {best.random.mean:.4g}.",
        advice="Train longer, or with a lower learning_rate, until most seeds learn: the best of these may be luck.",
        seeds=len(left),
    )


def _gain(seed: SeedStatus) -> float | None:
    """Return what a seed that is done has over random actions; None: not done, or not measured."""
    if seed.phase is not SeedPhase.SUCCEEDED or seed.return_ is None or seed.random is None:
        return None
    return seed.return_ - seed.random.mean
