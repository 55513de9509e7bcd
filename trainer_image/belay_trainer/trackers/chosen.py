"""Which trackers a job asks for, as far as they can be had in this pod."""

import uuid
from importlib.util import find_spec
from pathlib import Path

from belay_trainer import files
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration
from belay_trainer.trackers.remote import Remote
from belay_trainer.trackers.tracker import Tracker

PACKAGES = {"mlflow": "mlflow-skinny", "wandb": "wandb"}  # distributions by module
_IDENTITY = "run-id"  # file of a run on one machine, whose job has no uid of its own


def chosen(run: Run, folder: Path, *, identity: str | None = None) -> list[Tracker]:
    """Return the trackers of `spec.tracking`; nothing is started yet.

    Args:
        folder: For what their clients write.
        identity: Of the seed's training over all its lives; None: one is kept in `folder`.
    Raises: BadConfiguration when a package is missing.
    """
    tracking = run.spec.tracking
    asked = {} if tracking is None else {name: one for name, one in tracking if one is not None}
    for name in asked:
        found = find_spec(name)
        if found is None or found.origin is None:  # a folder of that name, which wandb itself makes, is no package
            package = PACKAGES[name]
            raise BadConfiguration(
                f"tracking.{name}: there is no package {name} here. Name it in runtime.packages, as in "
                f"{package}==<version>, or install it: pip install {package}."
            )
    if not asked:
        return []
    seed = {
        "id": identity or _kept(folder),
        "name": f"{run.config.job}-seed-{run.seed}",
        "group": run.config.job,
        "config": run.spec.said() | {"seed": run.seed, "namespace": run.config.namespace},
    }
    return [
        Remote({"kind": name, "settings": one.said(), "run": seed, "folder": str(folder)})
        for name, one in asked.items()
    ]


def identity_of(run: Run) -> str:
    """Return what tells a seed of a job of the cluster from every other, and is the same in all its lives."""
    return f"{run.config.uid}-{run.index}"


def _kept(folder: Path) -> str:
    path = folder / _IDENTITY
    if not path.exists():
        # Of the operating system's randomness: the training's is left alone.
        files.write_atomically(path, uuid.uuid4().hex.encode())
    return path.read_text()
