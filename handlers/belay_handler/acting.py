"""From a batch of observations to actions: the network's outputs, read by the head that the manifest names.

Pure but for the generator handed in. A network that answers NaN fails that item alone: its neighbours in the batch are
other people's episodes.
"""

from typing import Any

import numpy as np

from belay_api.artifact import ArtifactInvalid, Manifest
from belay_handler.networks import Network
from belay_heads import head_of
from belay_heads.masked import allowed


class NotFinite(Exception):
    """The network answered NaN or infinity for one observation."""


class Actor:
    """Chooses actions with one policy."""

    def __init__(self, manifest: Manifest, network: Network, generator: np.random.Generator) -> None:
        """Raises: ArtifactInvalid when the manifest's output cannot name its actions."""
        self._network = network
        self._generator = generator
        self._state = tuple(manifest.state.shape) if manifest.state is not None else None
        self.remembers = self._state is not None
        self._head = head_of(manifest.output, manifest.action)
        self.stochastic = self._head.stochastic  # else there is nothing to sample from
        self.masks = self._head.masks  # as the head has it; empty: it takes none

    def act(self, observations: np.ndarray, deterministic: list[bool], masks: np.ndarray | None = None) -> list[Any]:
        """Return one action per observation, or `NotFinite` in its place.

        Args:
            observations: (batch, *observation) of the space's dtype, finite.
            deterministic: Per observation; False samples.
            masks: (batch, outputs), True where an action is allowed; None: the head takes none.
        """
        return self._chosen(self._outputs(self._network(observations), len(observations)), deterministic, masks)

    def act_and_remember(
        self,
        observations: np.ndarray,
        states: np.ndarray,
        deterministic: list[bool],
        masks: np.ndarray | None = None,
    ) -> tuple[list[Any], np.ndarray]:
        """Return what `act` does for a policy that remembers, and what it remembers then, (batch, *state).

        Args:
            states: (batch, *state), what was remembered before.
        """
        answered, after = self._network(observations, states)
        after, wanted = np.asarray(after), (len(observations), *(self._state or ()))
        if after.shape != wanted:
            raise ArtifactInvalid(f"the network remembers shape {after.shape} where the manifest promises {wanted}")
        actions = self._chosen(self._outputs(answered, len(observations)), deterministic, masks)
        # What is not finite would be refused when it comes back, as if the caller had spoilt it.
        for index in np.flatnonzero(~np.isfinite(after).reshape(len(after), -1).all(axis=1)):
            actions[index] = NotFinite()
        return actions, after

    def _chosen(self, answered: np.ndarray, deterministic: list[bool], masks: np.ndarray | None) -> list[Any]:
        outputs = answered if masks is None else allowed(answered, masks)
        chosen = self._head.greedy(outputs)
        if not all(deterministic):
            sampled = ~np.asarray(deterministic)
            chosen[sampled] = self._head.sample(outputs[sampled], self._generator)  # one draw for the batch
        actions: list[Any] = chosen.tolist()
        # Both: an argmax hides NaN, a bound infinity, and a draw may lie beyond all numbers though the outputs do not.
        # As a whole first, which takes half of the time of row by row.
        if not (np.isfinite(answered).all() and np.isfinite(chosen).all()):
            finite = np.isfinite(answered).all(axis=1) & np.isfinite(chosen).reshape(len(chosen), -1).all(axis=1)
            for index in np.flatnonzero(~finite):
                actions[index] = NotFinite()
        return actions

    def _outputs(self, answered: Any, batch: int) -> np.ndarray:
        """Return what the network answered, (batch, width). Raises: ArtifactInvalid when there is not as much of it."""
        outputs = np.asarray(answered)
        wanted = (batch, self._head.width)
        if outputs.shape[:1] != wanted[:1] or outputs.size != wanted[0] * wanted[1]:
            raise ArtifactInvalid(f"the network answers shape {outputs.shape} where the manifest promises {wanted}")
        return outputs.reshape(wanted)
