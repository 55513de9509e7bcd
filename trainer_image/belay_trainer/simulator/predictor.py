"""By how much the simulator misses what was logged, one timestep ahead, with these values of its parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from belay_trainer.environments import Environment
from belay_trainer.simulator.parameters import Parameter, values
from belay_trainer.simulator.placing import Place, stepped
from belay_trainer.simulator.transitions import Transitions
from belay_trainer.wrapping.randomized import Randomized

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """In which unit a miss of each number of an observation is told: its standard deviation over logged ones."""

    std: Floats  # (numbers,)

    @property
    def varies(self) -> NDArray[np.bool_]:
        """(numbers,); a number that never changed in the log has no unit, and is left out."""
        found: NDArray[np.bool_] = self.std > 0
        return found

    @classmethod
    def of(cls, transitions: Transitions) -> "Scale":
        """Return that of these observations."""
        rows = transitions.observations.reshape(len(transitions), -1).astype(np.float64)
        return cls(np.where(np.ptp(rows, axis=0) > 0, rows.std(axis=0), 0.0))


class Predictor:
    """A simulator whose parameters can be set."""

    def __init__(self, task: Randomized, searched: Sequence[Parameter], place: Place, scale: Scale) -> None:
        """Predict by this task. Args: searched: What is set, in the order of the cube."""
        self._task, self._searched, self._place, self._scale = task, searched, place, scale

    def misses(self, point: Floats, transitions: Transitions) -> Floats:
        """Return what was logged less what is predicted, (timesteps, numbers that vary), in standard deviations.

        Args:
            point: In the cube of the parameters.
        """
        self._task.set_values(values(self._searched, point))
        return misses(self._task.env, self._place, transitions, self._scale)


def misses(task: Environment, place: Place, transitions: Transitions, scale: Scale) -> Floats:
    """Return the same of a simulator as it is."""
    task.reset(seed=0)
    predicted = np.stack(
        [
            stepped(task, place, observation, action)
            for observation, action in zip(transitions.observations, transitions.actions, strict=True)
        ]
    )
    rows = len(transitions)
    off = transitions.following.reshape(rows, -1).astype(np.float64) - predicted.reshape(rows, -1)
    varies = scale.varies
    return np.asarray(off[:, varies] / scale.std[varies])
