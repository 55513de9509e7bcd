"""The gateway does not take the preview address, or somebody else has its name. Nothing else waits for it."""

from dataclasses import replace
from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_operator.rollout import preview
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait


def beside(wait: Wait | None, observed: Observed, now: datetime) -> Wait | None:
    """Tell it, behind whatever the rollout waits for; a rollback under way has nothing to say but itself."""
    fault = preview.fault(observed, now)
    if fault is None or observed.rolling_back:
        return wait
    if wait is None:
        return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, fault)
    return replace(wait, message=f"{wait.message}. Beside that, {fault}")
