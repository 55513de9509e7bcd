"""One seed of a local run: a training pod's life, with a folder in the place of store and logbook."""

from pathlib import Path

from belay_api.training import StorageSpec, TrainingReport
from belay_api.wire import RunProgress
from belay_trainer.baseline import open_baseline
from belay_trainer.config import Run
from belay_trainer.history import History
from belay_trainer.initial import open_initial
from belay_trainer.local.folder import RunFolder, SeedFolder
from belay_trainer.session import tracking_patience_s, train_in
from belay_trainer.stop import Stop
from belay_trainer.store.local import LocalStore
from belay_trainer.trackers.chosen import chosen
from belay_trainer.trackers.json_lines import JsonLines
from belay_trainer.trackers.tensorboard import TensorBoard


class NewestHeartbeat:
    """Keeps the newest heartbeat in a file; see `heartbeat.ProgressSink`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def tell(self, progress: RunProgress) -> None:
        """Put a heartbeat in the place of the one before, for whoever reads meanwhile in one move."""
        new = self._path.with_suffix(".new")  # one writer: the seed's own process
        new.write_text(progress.model_dump_json(by_alias=True, exclude_none=True))
        new.replace(self._path)

    def close(self) -> None:
        """Nothing waits."""


def train_here(run: Run, root: Path, *, initial_dir: Path, baseline_dir: Path, stop: Stop) -> TrainingReport:
    """Return the report of a seed that succeeded, trained in the run's folder `root`.

    Args:
        initial_dir: With the artifact that it begins with, where it does.
        baseline_dir: With the one that its gates compare with, where they do.

    Raises: TrainerError for every other end.
    """
    folder: SeedFolder = RunFolder(root).seed(run.seed)
    history = History(
        [JsonLines(folder.curves), TensorBoard(folder.tensorboard), *chosen(run, folder.path / "tracking")],
        budget=run.spec.budget.steps,
    )
    store = LocalStore(root, address=_address(run.spec.storage))
    heartbeat = NewestHeartbeat(folder.heartbeat)
    beside = open_baseline(run, baseline_dir, work_dir=folder.path, stop=stop)
    also = {"history": history, "initial": open_initial(run, initial_dir), "baseline": beside}
    try:
        return train_in(run, work_dir=folder.path, store=store, heartbeat=heartbeat, stop=stop, **also)
    finally:
        history.close(tracking_patience_s(run, stop))


def _address(storage: StorageSpec) -> str:
    """Return where artifacts will be found once they are in the store that the spec asks for."""
    return f"pvc://{storage.pvc.claim}/artifacts" if storage.pvc else "store://sha256"
