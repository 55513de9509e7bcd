"""What does the policy return from starts that are rare?"""

from belay_api.environment import EnvironmentSpec
from belay_api.gates import EdgeCasesGate
from belay_trainer.environments import Environment
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.elsewhere import World, fit_worlds, measure_worlds
from belay_trainer.validation.subject import Subject

TITLE = "Edge cases"


def fit(settings: EdgeCasesGate, environment: Environment, task: EnvironmentSpec) -> None:
    """See `Check`: each start can be begun from."""
    fit_worlds(_worlds(settings), environment, task)


def measure(settings: EdgeCasesGate, subject: Subject) -> CheckResult:
    """See `Check`."""
    return measure_worlds(_worlds(settings), settings, subject)


def _worlds(settings: EdgeCasesGate) -> list[World]:
    return [World(start.name, kwargs=start.kwargs, options=start.options) for start in settings.starts]
