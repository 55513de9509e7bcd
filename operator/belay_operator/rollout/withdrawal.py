"""How a candidate is withdrawn: the recorded intent, and what of its end counts against it.

The intent is recorded first, and with it the route follows (`route.intent` sends a withdrawn candidate nothing).
`situations/rollback_under_way` then records whatever is newly seen to be done.
"""

from collections.abc import Sequence
from datetime import datetime

from belay_api.reasons import EventReason
from belay_api.rollout.status import RollbackStatus, WeightStatus
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed

KEEP_REJECTED = 20  # digests


def rejected(digests: Sequence[str], digest: str) -> list[str]:
    """Return the rejected digests with one more: not tried again until a person sends the command retry."""
    return [*(one for one in digests if one != digest), digest][-KEEP_REJECTED:]


def begin(observed: Observed, now: datetime, *, reason: str, message: str, metric: str | None = None) -> Move:
    """Return the recorded intent to withdraw the candidate; the route that follows goes into the same plan.

    Raises: ValueError where there is no candidate.
    """
    status, candidate = observed.status, observed.status.candidate
    if candidate is None:
        raise ValueError("only a candidate can be withdrawn")
    weight = status.weight and WeightStatus(desired=0, applied=status.weight.applied)
    rollback = RollbackStatus(
        reason=reason, message=message, metric=metric, policy=candidate.policy, decided_at=instant(now)
    )
    event = note(EventReason.ROLLBACK_STARTED, f"{candidate.policy} is withdrawn: {message}", warning=True)
    return Move(changed(status, rollback=rollback, weight=weight), (event,))


def somebody_else_answers(observed: Observed) -> bool:
    """Whether requests have somewhere to go without the candidate.

    Traffic is never taken from a candidate for a version that is lost or was never promoted: a policy that is worse
    than another one is better than none. A candidate that cannot answer has nothing to lose.
    """
    if not observed.candidate_answers or observed.status.weight is None:
        return True
    return observed.status.stable is not None and not observed.stable_lost
