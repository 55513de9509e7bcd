"""At rest, and the route that leads to stable is not in force, or is and some of its requests go elsewhere."""

from datetime import datetime, timedelta

from belay_api.reasons import RolloutReason
from belay_operator.rollout import route
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait

LONG_AGO = timedelta(days=1)  # at rest, silence is told without waiting


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell it in the router's words.

    An answer that is merely on its way is no change: the route before it was accepted and is the same but for rules.
    """
    if observed.status.candidate is not None or observed.status.stable is None:
        return None
    in_place = route.in_place(observed, now)
    trouble = observed.router.trouble(observed.traffic, in_place=in_place, waited=LONG_AGO)
    return None if trouble is None or trouble.reason is RolloutReason.PROGRESSING else trouble
