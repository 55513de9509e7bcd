"""The steps where `spec.steps` does not list them, and which of them a trial keeps to.

What the spec says may come to other steps tomorrow: another version of Belay has another recipe. So the steps are
recorded before a candidate is taken up, and hold until its trial ends, for as long as the spec says the same. Who
changes the spec itself wants other steps now, as with an edit of `spec.steps`. Steps that cannot be had keep the next
trial from beginning, and no trial from its end. Where they come from: `progression_source`.
"""

from dataclasses import dataclass

from belay_api.rollout.status import ProgressionStatus, RLRolloutStatus
from belay_api.rollout.steps import Step
from belay_operator.rollout.wait import Wait


@dataclass(frozen=True, slots=True)
class Progression:
    """Steps from elsewhere."""

    asked: str  # hash of what the spec says of them
    steps: tuple[Step, ...] = ()
    recorded: ProgressionStatus | None = None  # as status has it, or is to have it; None: there are no steps to record
    fault: Wait | None = None  # why they cannot be carried out


def followed(now: Progression, before: Progression | None, status: RLRolloutStatus) -> Progression:
    """Return what holds for a status.

    Args:
        now: What the spec asks for.
        before: What was recorded when this pass began.
    """
    if status.candidate is None or status.progression is None:
        return now
    held = next((one for one in (now, before) if one is not None and one.recorded == status.progression), None)
    # What the spec asks for instead and cannot be had leaves the trial where it is.
    return held if held is not None and (held.asked == now.asked or now.fault is not None) else now
