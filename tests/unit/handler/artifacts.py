"""Small artifacts of one linear layer with known weights: what they answer can be worked out with numpy alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from belay_api.artifact import MANIFEST, EvaluationReport, Lineage, Manifest, RecurrentState, file_entries
from belay_api.spaces import BoxSpace, DiscreteSpace, Space

WEIGHTS = np.array([[1.0, -1.0], [0.5, 0.25], [-2.0, 2.0], [0.0, 1.0]], dtype=np.float32)
BIAS = np.array([0.1, 0.0], dtype=np.float32)

CARTPOLE = BoxSpace(shape=[4], dtype="float32", low=[None] * 4, high=[None] * 4)
TWO_ACTIONS = DiscreteSpace(n=2)


def outputs(observations: np.ndarray) -> np.ndarray:
    """Return what the layer answers for (batch, 4)."""
    return observations @ WEIGHTS + BIAS


def manifest(
    folder: Path | None = None,
    *,
    observation: Space = CARTPOLE,
    action: Space = TWO_ACTIONS,
    output: str = "logits",
    state: RecurrentState | None = None,
) -> Manifest:
    """Return a manifest of the files in `folder`, or of none."""
    return Manifest(
        algorithm="ppo",
        environment="CartPole-v1",
        observation=observation,
        action=action,
        output=output,
        state=state,
        max_episode_steps=500,
        evaluation=EvaluationReport(step=0, episodes=1, first_seed=0, mean=9.0, std=0.0, min=9.0, max=9.0),
        lineage=Lineage(seed=0, step=0, config_hash="h"),
        files=file_entries(folder) if folder else [],
    )


def write(folder: Path, files: Mapping[str, bytes], **spaces: Any) -> Manifest:
    """Write an artifact of `files` into `folder` and return its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    written = manifest(folder, **spaces)
    (folder / MANIFEST).write_bytes(written.canonical())
    return written
