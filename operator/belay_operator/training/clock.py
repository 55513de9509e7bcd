"""How much of its deadline a training has used up, and how much a Job of it is given.

A Job counts its `activeDeadlineSeconds` from its start, and anew from each resume, and a search and its seeds are two
Jobs. So status adds up what each stretch took, and the Job gets what was left when its stretch began. Within a stretch
that is always the same number, so nothing has to look at a clock: Kubernetes ends the Job, also while no operator runs.
"""

import math
from datetime import datetime, timedelta

from belay_api.clock import ClockStatus
from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus
from belay_operator.training.evictions import hopeless
from belay_operator.training.observed import Observed


def seconds_left(spec: RLTrainingJobSpec, status: RLTrainingJobStatus) -> int | None:
    """Return what a stretch that begins now, or the one under way, may take in whole seconds; None: there is no limit.

    At least 1: a Job that is given no time at all would have none to say that it has passed. That is also what one gets
    that cannot succeed any more and does not know it.
    """
    if hopeless(spec, status):
        return 1
    if spec.budget.deadline is None:
        return None
    used = timedelta(0) if status.clock is None else status.clock.used
    return max(1, math.ceil((spec.budget.deadline - used).total_seconds()))


def clock(observed: Observed, now: datetime) -> ClockStatus | None:
    """Return the clock as it is now; None: it never ran."""
    before, runs_since = observed.status.clock, observed.workload.runs_since
    if before is None:
        return None if runs_since is None else ClockStatus(since=runs_since)
    if before.since == runs_since:
        return before
    if before.since is None:
        return before.model_copy(update={"since": runs_since})
    # It stopped, or began again between two looks: then nobody knows of a pause.
    until = runs_since or observed.workload.stopped_at or now
    used = before.used + max(until - before.since, timedelta(0))
    return ClockStatus(used=used, since=runs_since)
