"""The files that both sides learn from: collected here, by controllers and by policies that were stopped early."""

import os
from pathlib import Path
from typing import Any

from belay_api.training import TrainingConfig
from belay_trainer import datasets
from belay_trainer.collecting.collect import collect
from belay_trainer.collecting.collection import CollectionSpec
from belay_trainer.config import Run
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.session import train_and_publish
from belay_trainer.stop import Stop

SEED = 0  # of every log: seeds of the bench are those of what learns
MINARI = Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def made(name: str, asked: dict[str, Any], folder: Path) -> tuple[Path, Dataset]:
    """Return a log of the load, and where it lies, which is below `folder` unless somebody else made it."""
    if "minari" in asked:
        path = MINARI / asked["minari"]
    else:
        path = folder / f"{name}.parquet"
        policies = [dict(one) for one in asked["policies"]]
        for one in policies:
            if one["policy"] == "trained":
                one |= {"policy": str(_trained(asked["task"], asked["trained"], folder / name)), "name": "trained"}
        collection = {"environment": {"id": asked["task"]}, "policies": policies, "episodes": asked["episodes"]}
        collect(CollectionSpec.model_validate(collection | {"seed": SEED}), path)
    return path, datasets.read(path)[0]


def _trained(task: str, asked: dict[str, Any], folder: Path) -> Path:
    """Return the artifact of a policy after so many timesteps."""
    folder.mkdir()
    spec = {
        "environment": {"id": task},
        "algorithm": asked["algorithm"],
        "budget": {"steps": asked["steps"]},
        "evaluation": {"every": asked["steps"], "episodes": 4, "finalEpisodes": 4},
        "checkpoint": {"every": asked["steps"]},
        "storage": {"pvc": {"claim": "bench"}},
    }
    config = {"namespace": "bench", "job": "behaviour", "uid": "bench", "attempt": 1, "configHash": "0", "spec": spec}
    run = Run(TrainingConfig.model_validate(config), index=0, seed=SEED)
    train_and_publish(run, work_dir=folder, pvc_dir=folder, initial_dir=folder, logbook=None, stop=Stop())
    [artifact] = (folder / "artifacts").iterdir()
    return artifact
