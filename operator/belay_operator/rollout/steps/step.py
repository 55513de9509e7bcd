"""What a step kind is: what it does to the recorded status, what it then waits for, and what holds while it lasts.

A step is named by its field in `spec.steps[]`. Its file in this folder offers one module-level `KIND`; that is all
there is to adding one, but for the field's model in `belay_api`. A kind that must remember something has a field of
that model in `StepStatus`. Everybody asks the kind what holds; no other file compares names of kinds.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta

from belay_api.rollout.status import RolloutPhase
from belay_api.rollout.steps import Step
from belay_operator.engine.plan import Manifest
from belay_operator.judging.question import Question
from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.wait import Wait


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step takes the candidate back."""

    reason: str  # of the rollback
    message: str  # for people
    metric: str | None = None  # what failed, where it has a name; None: the step itself


class StepKind(ABC):
    """One kind of step. A step is over when `wait` finds nothing."""

    name: str
    """The field in `spec.steps[]`, and `status.step.kind`."""
    phase: RolloutPhase = RolloutPhase.PROGRESSING
    """The rollout in one word while the step lasts."""
    judged: bool = True
    """Whether the candidate is judged meanwhile, and taken back when a metric fails."""
    asks_for_pass: bool = False
    """Whether it ends by Pass, so that a verdict which stays away counts against it."""
    announced: bool = True
    """Whether an Event tells its beginning: those that move traffic do."""
    ends_in_promotion: bool = False
    """Whether the promotion follows instead of the next step; such a step is past all that the spec lists."""
    of_first: bool = False
    """Whether the first version of a rollout takes it as well, which is spared all that compares or moves traffic."""
    spared: str | None = None
    """What is told where the first version passes by it; None: nothing."""
    shares: bool | None = None
    """Whether it gives the candidate a share of all users; False: it begins without one; None: it leaves that alone."""
    needs_fit_spec: bool = True
    """Whether it stands still while part of the spec cannot be carried out."""

    def title(self, step: Step) -> str:
        """Return the step for people."""
        return self.name

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Return the change of status that the step asks for; None: it is recorded, or not possible yet.

        Asked at every pass, so it must find nothing to do once it is done.
        """
        return None

    @abstractmethod
    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Return what the step waits for, or None when it is over."""

    def bars(self, step: Step, observed: Observed) -> Wait | None:
        """Return why no candidate is taken up that would come to this step; None: it stands in nobody's way."""
        return None

    def question(self, step: Step, observed: Observed) -> Question | Wait | None:
        """Return what its Job asks, or why it cannot be asked; None: it has none that asks."""
        return None

    def objects(self, step: Step, observed: Observed) -> tuple[Manifest, ...]:
        """Return the objects it needs now, such as a Job; `observed.jobs` shows what became of it.

        A Job is made once and left as it is, but for one whose time is up now. It is deleted when it is no longer
        returned, and with its step.
        """
        return ()

    def failure(self, step: Step, observed: Observed, now: datetime) -> Failure | None:
        """Return why the step takes the candidate back; None: it does not."""
        return None

    def deadline(self, step: Step, observed: Observed) -> datetime | None:
        """Return when time alone makes it fail; None: never."""
        return None

    def on_command(self, command: Command, step: Step, observed: Observed, now: datetime) -> Move | str | None:
        """Return what a command does to this step, or why it cannot be done; None: the step knows no such command."""
        return None

    def timeout(self, step: Step) -> timedelta | None:
        """Return its own limit for a verdict that stays away; None: the analysis' rule holds."""
        return None


def over_at(observed: Observed, time: timedelta | None) -> datetime | None:
    """Return when the step under way has lasted so long; None: there is none, or no such time."""
    current = observed.status.step
    return None if current is None or time is None else current.started_at + time
