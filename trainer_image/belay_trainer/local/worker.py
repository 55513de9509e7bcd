"""One process of a local run's search: a search pod's life, with a folder in the place of logbook and volume."""

from pathlib import Path

from belay_api.training import TrainingReport
from belay_trainer.config import Run
from belay_trainer.initial import open_initial
from belay_trainer.local.folder import RunFolder
from belay_trainer.local.seed import NewestHeartbeat
from belay_trainer.search.journal import FileLines, Journal
from belay_trainer.search.worker import search_in
from belay_trainer.stop import Stop


def search_here(run: Run, root: Path, *, initial_dir: Path, baseline_dir: Path, stop: Stop) -> TrainingReport:
    """Return the report of a worker that has nothing left to do in the run's folder `root`.

    Args:
        initial_dir: With the artifact that trials begin with, where they do.
        baseline_dir: Of no use: trials have no gates.
    Raises: TrainerError for every other end.
    """
    folder = RunFolder(root)
    place = folder.worker(run.index)
    journal = Journal(FileLines(folder.journal), key=None, stop=stop)
    also = {"heartbeat": NewestHeartbeat(place.heartbeat), "initial": open_initial(run, initial_dir)}
    return search_in(run, journal, work_dir=place.path, stop=stop, **also)
