"""The last part of a training: export the best evaluated policy and bring it to the store, however long that takes."""

import logging
import tempfile
from pathlib import Path

from belay_api.training import ArtifactRef
from belay_trainer import environments
from belay_trainer.config import Run
from belay_trainer.errors import Interrupted, StoreUnavailable
from belay_trainer.export import Evaluations, export
from belay_trainer.measure import Measured
from belay_trainer.stop import Stop
from belay_trainer.store import Store
from belay_trainer.train import Trained

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
log = logging.getLogger(__name__)


def publish(trained: Trained, measured: Measured, run: Run, store: Store, *, work_dir: Path, stop: Stop) -> ArtifactRef:
    """Return where the best evaluated policy lies now.

    Args:
        trained: Its learner has that policy's weights.
        measured: How that policy does.
    Raises: ExportFailed, StoreRefused, Interrupted.
    """
    environment = environments.maker_for(run.spec)()
    with tempfile.TemporaryDirectory(dir=work_dir, prefix="artifact-") as name:
        folder = Path(name)
        manifest = export(
            trained.learner,
            run,
            environment=environment,
            evaluations=Evaluations(measured.report, selection=trained.best.report),
            outcomes=measured.outcomes,
            folder=folder,
        )
        environment.close()
        wait = FIRST_WAIT_S
        while True:
            try:
                return ArtifactRef(uri=store.publish(folder, manifest), digest=manifest.digest())
            except StoreUnavailable as error:
                log.warning("the artifact waits for the store, %.0f s: %s", wait, error)
                if stop.wait(wait):
                    raise Interrupted(f"asked to stop while the artifact waited for the store: {error}") from error
                wait = min(2 * wait, LONGEST_WAIT_S)
