"""Artifacts whose network is linear in two numbers, so that everything about it can be worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from belay_api.artifact import MANIFEST, EvaluationReport, Lineage, Manifest, file_entries
from belay_api.outcomes import KnownOutcome, Played
from belay_api.spaces import BoxSpace, DiscreteSpace, Space
from belay_trainer.export import write_networks

SEEN = BoxSpace(shape=[2], dtype="float32", low=[None, None], high=[None, None])
TWO = DiscreteSpace(n=2)
PUSH = BoxSpace(shape=[1], dtype="float32", low=[-1.0], high=[1.0])
FIRST_SEED = 1_010_000  # of its evaluation


def artifact(
    folder: Path,
    weights: list[list[float]],
    *,
    output: str,
    action: Space,
    bias: tuple[float, ...] | None = None,
    environment: str | None = "Sides-v0",
    returns: tuple[float, float] | None = None,
    **more: Any,
) -> Path:
    """Write one.

    Args:
        returns: The lowest and the highest that its training saw; None: it tells of none.
    """
    folder.mkdir()
    network = torch.nn.Linear(2, len(weights)).eval()
    with torch.no_grad():
        network.weight.copy_(torch.tensor(weights))
        network.bias.copy_(torch.tensor(bias or (0.0,) * len(weights)))
    write_networks(network, np.zeros((2, 2), dtype=np.float32), folder)
    report = EvaluationReport(step=1, episodes=1, first_seed=FIRST_SEED, mean=0, std=0, min=0, max=0)
    known = {}
    if returns is not None:
        played = Played(episodes=1, mean=returns[1], std=0, min=returns[1], max=returns[1])
        known = {"return": KnownOutcome(evaluated=played, low=returns[0], high=returns[1])}
    manifest = Manifest(
        algorithm="ppo",
        environment=environment,
        observation=SEEN,
        action=action,
        output=output,
        max_episode_steps=1,
        evaluation=report,
        outcomes=known,
        lineage=Lineage(seed=0, step=1, config_hash="0"),
        files=file_entries(folder),
        **more,
    )
    (folder / MANIFEST).write_bytes(manifest.canonical())
    return folder
