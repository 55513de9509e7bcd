"""What it is, and what it waits for, in the operator's own words."""

from belay_api.conditions import Condition, ConditionStatus, get_condition
from belay_api.reasons import RolloutReason
from belay_cli.rollout.page import Page, Rollout

TOLD_BY_READY = ("Ready", "Reconciling", "Stalled")  # one situation in the three forms that kstatus reads
_GOOD, _BAD = ("Healthy",), ("Degraded", "RollingBack", "RolledBack")


def lines(rollout: Rollout, page: Page) -> list[str]:
    """Name and phase, what Ready says, and every condition that says something else."""
    status = rollout.status
    phase = status.phase.value if status.phase is not None else "not looked at yet"
    colour = "green" if phase in _GOOD else "red" if phase in _BAD else "yellow"
    made = [
        f"{page.paint(rollout.name, 'bold')}  {page.paint(phase, colour)}   namespace {rollout.metadata['namespace']}"
    ]
    ready = get_condition(status.conditions, "Ready")
    if ready is None:
        return [*made, *page.wrap("The operator has not looked at it yet. If that stays so, look whether it runs.")]
    stalled = get_condition(status.conditions, "Stalled") is not None
    made += _told(ready, page, ", and stands still until somebody acts" if stalled else "")
    if (status.observed_generation or 0) < rollout.metadata.get("generation", 0):
        made += page.wrap("The spec was changed since, and the operator has not looked at it yet.")
    if status.paused is not None and ready.reason != RolloutReason.PAUSED:
        made += page.wrap(f"Held by the command pause@{status.paused.command}, {page.ago(status.paused.at)}.")
    for condition in status.conditions:
        if condition.type not in TOLD_BY_READY:
            made += ["", *_told(condition, page)]
    return made


def _told(condition: Condition, page: Page, more: str = "") -> list[str]:
    """A condition, and since when it is so; its reason may be younger."""
    not_ = "" if condition.status is ConditionStatus.TRUE else "not "
    words = f"{not_}{condition.type} {page.lasting(condition.last_transition_time)}{more}: {condition.reason}"
    return [*page.wrap(words), *page.wrap(condition.message)]
