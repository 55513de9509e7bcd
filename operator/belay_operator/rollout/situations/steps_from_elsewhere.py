"""The spec does not list its steps: they are recorded before a trial begins, and whatever keeps them out is told.

That bars the next trial and nothing else; see `progression` for what a trial under way keeps to.
"""

from dataclasses import replace
from datetime import datetime

from belay_operator.rollout.move import Move, changed
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait
from belay_operator.rollout.words import meanwhile


def act(observed: Observed, now: datetime) -> Move | None:
    """Record the steps that are followed, or that the next trial will follow."""
    if observed.unfit is not None and observed.status.candidate is not None:
        return None  # what could not be read may be what they follow from
    progression = observed.progression
    recorded = None if progression is None else progression.recorded
    if recorded == observed.status.progression:
        return None
    return Move(changed(observed.status, progression=recorded))


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell at rest, before anybody waits for a trial, that none could begin."""
    progression = observed.progression
    if observed.status.candidate is not None or progression is None or progression.fault is None:
        return None
    fault = progression.fault
    return replace(fault, message=f"{fault.message}; no trial begins meanwhile, and {meanwhile(observed)}")
