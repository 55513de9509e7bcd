"""The policy in an artifact as a target: its exported network, behind its head."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_api.artifact import ONNX_FILE
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.datasets.fit import fitted
from belay_trainer.errors import BadConfiguration
from belay_trainer.ope.head_policy import HeadPolicy
from belay_trainer.served import Artifact
from belay_trainer.threads import onnx_session

ROWS = 8_192  # observations in one forward pass


class ArtifactPolicy(HeadPolicy):
    """See `TargetPolicy`."""

    def __init__(self, artifact: Artifact, *, greedy: bool) -> None:
        """Load a policy.

        Args:
            greedy: Its best action always, as it is served by default; False: drawn from its distribution.
        Raises: BadConfiguration when there is nothing in it that can be judged, or the policy has nothing to draw from.
        """
        folder = artifact.folder
        self.digest, self.manifest, head = artifact.digest, artifact.manifest, artifact.head
        if ONNX_FILE not in {entry.path for entry in self.manifest.files}:
            raise BadConfiguration(f"policy {folder}: there is no {ONNX_FILE} in it, which is what is judged.")
        session = onnx_session(str(folder / ONNX_FILE))
        if not greedy and not head.stochastic:
            raise BadConfiguration(
                f"policy {folder}: it has one action for an observation (output `{self.manifest.output}`), so there is "
                "nothing to sample from: leave `--actions sampled` out."
            )
        self._width = head.width
        self._session, self._input = session, session.get_inputs()[0].name
        action = self.manifest.action
        if action.kind not in ("discrete", "box"):
            raise BadConfiguration(f"policy {folder}: actions in {action} cannot be judged offline yet.")
        if self.manifest.observation.kind not in ("discrete", "box"):
            raise BadConfiguration(
                f"policy {folder}: observations {self.manifest.observation} cannot be judged offline yet."
            )
        if head.masks:
            raise BadConfiguration(
                f"policy {folder}: it chooses among the actions that a mask allows (output "
                f"`{self.manifest.output}`), and a log has no masks: it can neither be judged by one nor make one."
            )
        if self.manifest.state is not None:
            raise BadConfiguration(
                f"policy {folder}: it remembers what it saw before, and estimators judge each logged decision by its "
                "observation alone: it cannot be judged offline. Compare it in a rollout, or run gates in a simulator."
            )
        super().__init__(head, action, self._run, greedy=greedy)

    def fitted(self, dataset: Dataset, *, name: str) -> Dataset:
        """Return the dataset in the shapes of the policy's spaces. Raises: BadConfiguration when they are others."""
        return fitted(dataset, self.manifest.observation, self.manifest.action, name=name)

    def _run(self, observations: NDArray[Any]) -> NDArray[Any]:
        parts = [
            self._session.run(None, {self._input: observations[first : first + ROWS]})[0]
            for first in range(0, len(observations), ROWS)
        ]
        outputs: NDArray[Any] = np.concatenate(parts) if parts else np.empty((0, self._width))
        if not np.isfinite(outputs).all():
            raise BadConfiguration("the policy's network answers numbers that are not finite to logged observations.")
        return outputs
