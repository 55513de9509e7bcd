"""From a batch of observations to actions: the network's outputs read as the manifest says they are meant.

Pure but for the generator handed in. A network that answers NaN fails that item alone: its neighbours in the batch are
other people's episodes.
"""

from typing import Any

import numpy as np

from belay_api.artifact import ArtifactInvalid, BoxSpace, DiscreteSpace, Manifest
from belay_handler.networks import Network


class NotFinite(Exception):
    """The network answered NaN or infinity for one observation."""


class Actor:
    """Chooses actions with one policy."""

    def __init__(self, manifest: Manifest, network: Network, generator: np.random.Generator) -> None:
        self._network = network
        self._generator = generator
        self._action = manifest.action
        self._output = manifest.output
        self.stochastic = manifest.output == "logits"  # else there is nothing to sample from
        if isinstance(manifest.action, BoxSpace) != (manifest.output == "mean"):
            raise ArtifactInvalid(
                f"the manifest's output is {manifest.output} for a {manifest.action.kind} action space"
            )
        if isinstance(manifest.action, BoxSpace):
            self._low = _bounds(manifest.action.low, manifest.action.shape, -np.inf)
            self._high = _bounds(manifest.action.high, manifest.action.shape, np.inf)

    def act(self, observations: np.ndarray, deterministic: list[bool]) -> list[Any]:
        """Return one action per observation, or `NotFinite` in its place.

        Args:
            observations: (batch, *observation) of the space's dtype, finite.
            deterministic: Per observation; False samples from the logits.
        """
        outputs = np.asarray(self._network(observations))
        wanted = (len(observations), *self._output_shape())
        if outputs.shape != wanted:
            raise ArtifactInvalid(f"the network answers shape {outputs.shape} where the manifest promises {wanted}")
        finite = np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
        if isinstance(self._action, DiscreteSpace):
            chosen = self._choose(outputs, deterministic) + self._action.start
        else:
            chosen = np.clip(outputs, self._low, self._high)
        actions = chosen.tolist()
        if not finite.all():
            for index in np.flatnonzero(~finite):
                actions[index] = NotFinite()
        return actions

    def _output_shape(self) -> tuple[int, ...]:
        return (self._action.n,) if isinstance(self._action, DiscreteSpace) else tuple(self._action.shape)

    def _choose(self, outputs: np.ndarray, deterministic: list[bool]) -> np.ndarray:
        if all(deterministic):
            return outputs.argmax(axis=1)
        # Gumbel's trick: the argmax of logits plus Gumbel noise is a sample from their softmax, one draw for the batch.
        noise = self._generator.gumbel(size=outputs.shape)
        noise[np.asarray(deterministic)] = 0.0
        return (outputs + noise).argmax(axis=1)


def _bounds(values: list[float | None], shape: list[int], unbounded: float) -> np.ndarray:
    return np.array([unbounded if value is None else value for value in values], dtype=np.float64).reshape(shape)
