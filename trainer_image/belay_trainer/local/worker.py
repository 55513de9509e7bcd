"""One process of a local run's search: a search pod's life, with a folder in the place of logbook and volume."""

from pathlib import Path

from belay_api.training import TrainingReport
from belay_trainer.config import Run
from belay_trainer.local.folder import RunFolder
from belay_trainer.local.seed import NewestHeartbeat
from belay_trainer.search.journal import FileLines, Journal
from belay_trainer.search.worker import search_in
from belay_trainer.stop import Stop


def search_here(run: Run, root: Path, *, stop: Stop) -> TrainingReport:
    """Return the report of a worker that has nothing left to do in the run's folder `root`.

    Raises: TrainerError for every other end.
    """
    folder = RunFolder(root)
    place = folder.worker(run.index)
    journal = Journal(FileLines(folder.journal), key=None, stop=stop)
    return search_in(run, journal, work_dir=place.path, heartbeat=NewestHeartbeat(place.heartbeat), stop=stop)
