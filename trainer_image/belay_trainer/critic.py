"""The critic of a trained policy as an artifact carries it: what it expects of an episode, in fifths.

A rollout takes what stable's critic foresees off the returns of both sides, so it finds a worse candidate with fewer
episodes. For that a number from the first observation is enough, and a coarse one: in which fifth of the values that
the critic gives to first observations this one's lies. The bounds of the fifths stand in the network, so whoever asks
it needs to know nothing of it.
"""

from pathlib import Path

import numpy as np
import torch

from belay_api.artifact import CRITIC_FILE
from belay_api.receipts import FORESEEN_LEVELS
from belay_api.spaces import space_model
from belay_heads.observations import numbers, parts
from belay_trainer.environments import Environment
from belay_trainer.threads import onnx_session

FIRST_OBSERVATIONS = 256  # resets; a fifth is known to about 3 % of the episodes then
INPUT, OUTPUT, OPSET = "observation", "level", 17
CLOSE = 1e-4  # absolute and relative: a value so near to a bound may lie on either side of it in another runtime


class Critic(torch.nn.Module):
    """The critic's path from raw observations to fifths."""

    def __init__(self, value: torch.nn.Module) -> None:
        """Set up without bounds.

        Args:
            value: From raw observations (batch, *observation) to the expected discounted return (batch,).
        """
        super().__init__()
        self.value = value
        self.register_buffer("bounds", torch.zeros(FORESEEN_LEVELS - 1))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return the fifths (batch,), 0 to 4."""
        return (self.value(observation).unsqueeze(1) > self.bounds).to(torch.int64).sum(dim=1)


def write_critic(critic: Critic, environment: Environment, folder: Path) -> bool:
    """Write the critic into the folder; False: it has nothing to tell, and no file is written.

    Where episodes begin alike, or the critic finds all beginnings alike, it explains nothing. Nor is one written that
    answers otherwise in the runtime that serves it: an artifact is whole without a critic.
    """
    first = torch.from_numpy(first_observations(environment))
    with torch.no_grad():
        values = critic.value(first)
        bounds = torch.quantile(values, torch.arange(1, FORESEEN_LEVELS) / FORESEEN_LEVELS)
        if not bool(torch.isfinite(values).all()) or not bool((bounds[1:] > bounds[:-1]).all()):
            return False
        critic.bounds.copy_(bounds)
        path = folder / CRITIC_FILE
        torch.onnx.export(
            critic,
            (first[:2],),
            str(path),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
        if _agrees(path, critic, first):
            return True
    path.unlink()
    return False


def first_observations(environment: Environment) -> np.ndarray:
    """Return what episodes begin with, (episode, *observation)."""
    found = parts(space_model(environment.observation_space))
    return np.stack([numbers(environment.reset(seed=seed)[0], found) for seed in range(FIRST_OBSERVATIONS)])


def _agrees(path: Path, critic: Critic, observations: torch.Tensor) -> bool:
    session = onnx_session(str(path))
    (found,) = session.run([OUTPUT], {INPUT: observations.numpy()})
    values, bounds = critic.value(observations).unsqueeze(1), critic.bounds
    close = ((values - bounds).abs() <= CLOSE * (1 + values.abs())).any(dim=1).numpy()
    return bool((close | (found == critic(observations).numpy())).all())
