"""`setWeight`: this share of new episodes goes to the candidate.

Recorded first, then on the route. Never raised while the candidate lacks ready pods; lowering asks nobody. Over when
whoever carries traffic has accepted it.
"""

from datetime import datetime

from belay_api.rollout.status import SegmentStatus, WeightStatus
from belay_api.rollout.steps import Step
from belay_operator.rollout import route, segment
from belay_operator.rollout.capacity import short_of_pods
from belay_operator.rollout.move import Move, changed
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.steps.step import StepKind
from belay_operator.rollout.wait import Wait


class SetWeight(StepKind):
    """The StepKind."""

    name = "setWeight"
    shares = True

    def title(self, step: Step) -> str:
        """Return the step with its weight."""
        return f"{self.name} {step.set_weight}"

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Record the weight, if the candidate can carry it."""
        return record_weight(observed, float(step.set_weight or 0))

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for capacity, then for the route to be accepted."""
        return weight_trouble(observed, float(step.set_weight or 0), now)


def record_weight(observed: Observed, wanted: float) -> Move | None:
    """Return the recorded weight; None: it is recorded already, or the candidate lacks pods for more."""
    return record_share(observed, wanted, segment.beside(observed.status.weight, wanted))


def weight_trouble(observed: Observed, wanted: float, now: datetime) -> Wait | None:
    """Return what keeps a weight from being in force; None: it is."""
    return share_trouble(observed, wanted, segment.beside(observed.status.weight, wanted), now)


def record_share(observed: Observed, wanted: float, theirs: SegmentStatus | None) -> Move | None:
    """Return the same where a segment may have a share of its own."""
    weight, candidate = observed.status.weight, observed.policy(observed.status.candidate)
    if weight is not None and (weight.desired, weight.segment) == (wanted, theirs):
        return None
    before = weight or WeightStatus(desired=0)
    # Of other users, what the gateway has accepted is another share, though the number may be the same.
    applied = before.applied if before.segment == theirs else None
    update = {"desired": wanted, "applied": applied, "observed": None, "pods": None, "segment": theirs}
    recorded = before.model_copy(update=update)
    if segment.raises(weight, recorded) and not (candidate and candidate.has_capacity):
        return None
    pinned = route.places(observed.status)
    rule = segment.rule(observed.status, theirs, pinned)
    return Move(changed(observed.status, weight=recorded, pinned=pinned, segment_rule=rule))


def share_trouble(observed: Observed, wanted: float, theirs: SegmentStatus | None, now: datetime) -> Wait | None:
    """Return the same where a segment may have a share of its own."""
    weight, step = observed.status.weight, observed.status.step
    if weight is None or (weight.desired, weight.segment) != (wanted, theirs):
        return short_of_pods(observed, "the weight is not raised")
    if route.in_force(observed, now):
        return None  # what else is wrong with an accepted route is told at rest, and stops no step
    waited = now - (step.started_at if step else now)
    return observed.router.trouble(observed.traffic, in_place=route.in_place(observed, now), waited=waited)


KIND = SetWeight()
