"""What is left of the return where the world behaves otherwise than in training?"""

from belay_api.environment import EnvironmentSpec
from belay_api.gates import DynamicsGate
from belay_trainer.environments import Environment
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.elsewhere import World, fit_worlds, measure_worlds
from belay_trainer.validation.subject import Subject

TITLE = "Dynamics shift"


def fit(settings: DynamicsGate, environment: Environment, task: EnvironmentSpec) -> None:
    """See `Check`: each world can be made."""
    fit_worlds(_worlds(settings), environment, task)


def measure(settings: DynamicsGate, subject: Subject) -> CheckResult:
    """See `Check`."""
    return measure_worlds(_worlds(settings), settings, subject)


def _worlds(settings: DynamicsGate) -> list[World]:
    return [World(shift.name, kwargs=shift.kwargs) for shift in settings.shifts]
