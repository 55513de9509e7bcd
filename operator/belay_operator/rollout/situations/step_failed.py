"""The step under way has failed by itself, as where nobody approved in time or its Job found the candidate wanting: it
is taken back.

Not asked whether the spec is fit: a fault in another part of it must not stretch a deadline.
"""

from datetime import datetime, timedelta

from belay_operator.rollout import withdrawal
from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.stepping import kind_under_way, step_at


def act(observed: Observed, now: datetime) -> Move | None:
    """Withdraw the candidate, unless nobody else answers."""
    kind, step = kind_under_way(observed), observed.status.step
    if kind is None or step is None or observed.status.candidate is None or observed.rolling_back:
        return None
    failure = kind.failure(step_at(observed.spec, step.index), observed, now)
    if failure is None or not withdrawal.somebody_else_answers(observed):
        return None
    return withdrawal.begin(observed, now, reason=failure.reason, message=failure.message, metric=failure.metric)


def times(observed: Observed, now: datetime) -> list[timedelta]:
    """Return when time alone makes it fail."""
    kind, step = kind_under_way(observed), observed.status.step
    due = None if kind is None or step is None else kind.deadline(step_at(observed.spec, step.index), observed)
    return [] if due is None else [due - now]
