"""The protocol between a validation and one kind of gate: a module with two functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from belay_api.environment import EnvironmentSpec
from belay_trainer.environments import Environment
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.measurement import Measurement
from belay_trainer.validation.subject import Subject


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found."""

    measurements: tuple[Measurement, ...]
    """Each is held to a limit of its own; the gate passes where all do."""
    notes: tuple[str, ...] = ()
    """What a reader has to know of them."""
    returns: Mapping[str, Floats] = field(default_factory=dict)
    """Returns that were played, by what was disturbed; for the picture."""


class Check(Protocol):
    """One kind of gate."""

    TITLE: str
    """For the report."""

    def fit(self, settings: Any, environment: Environment, task: EnvironmentSpec) -> None:
        """Check that it can be measured there. Raises: BadConfiguration, without the gate's name."""

    def measure(self, settings: Any, subject: Subject) -> CheckResult:
        """Measure it. Raises: as `Player.returns`."""
