"""`match`: who sends the headers meets the candidate first, in this share of their new episodes.

Recorded, put on the route and raised as a weight is (see `set_weight`), and withdrawn with it. What is compared from
then on are episodes of these users, see `segment`.
"""

from datetime import datetime

from belay_api.rollout.steps import Step
from belay_operator.rollout import segment
from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.steps.set_weight import record_share, share_trouble
from belay_operator.rollout.steps.step import StepKind
from belay_operator.rollout.wait import Wait


class Match(StepKind):
    """The StepKind."""

    name = "match"
    shares = False

    def title(self, step: Step) -> str:
        """Return the step with whom it gives how much."""
        if step.match is None:
            return self.name
        headers = ", ".join(f"{header.name}: {header.value}" for header in step.match.headers)
        return f"{self.name} {headers} at {step.match.weight}%"

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Record the share, if the candidate can carry it."""
        return record_share(observed, float(step.match.weight), segment.alone(step.match)) if step.match else None

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for capacity, then for the route to be accepted."""
        if step.match is None:
            return None
        return share_trouble(observed, float(step.match.weight), segment.alone(step.match), now)


KIND = Match()
