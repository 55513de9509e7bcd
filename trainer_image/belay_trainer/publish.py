"""The last part of a training: export the best evaluated policy, bring it to the store, however long that takes, and
run its gates. One that does not pass them stays in the store, but no RLPolicy is made of it.
"""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from belay_api.gates import Validation
from belay_api.training import ArtifactRef
from belay_trainer.config import Run
from belay_trainer.errors import StoreUnavailable
from belay_trainer.export import Evaluations, export
from belay_trainer.measure import Measured
from belay_trainer.patience import until_answered
from belay_trainer.randomness import untouched
from belay_trainer.served import Artifact, read_artifact
from belay_trainer.stop import Stop
from belay_trainer.store import Store
from belay_trainer.train import Trained, shown
from belay_trainer.validation.gates import run_gates, summary
from belay_trainer.validation.report import Validated, documents, sentence

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """A policy in the store."""

    artifact: ArtifactRef
    validation: Validation | None  # what came of its gates; None: there are none


def publish(
    trained: Trained,
    measured: Measured,
    run: Run,
    store: Store,
    *,
    work_dir: Path,
    stop: Stop,
    baseline: Artifact | None = None,
) -> Published:
    """Return where the best evaluated policy lies now, and what came of its gates.

    Args:
        trained: Its learner has that policy's weights.
        measured: How that policy does.
        baseline: What its gates compare with; None: nothing.
    Raises: ExportFailed, StoreRefused, Interrupted, BadConfiguration; Stopped while it is played.
    """
    environment = shown(run, trained.learner)
    with tempfile.TemporaryDirectory(dir=work_dir, prefix="artifact-") as name:
        folder = Path(name)
        manifest = export(
            trained.learner,
            run,
            environment=environment,
            evaluations=Evaluations(
                measured.report, trained.best.report, trained.best.step, measured.estimate, measured.floor
            ),
            outcomes=measured.outcomes,
            folder=folder,
            stop=lambda: stop.asked,
        )
        environment.close()
        uri = kept("the artifact", lambda: store.publish(folder, manifest), stop)
        validation = _validated(folder, run, store, stop, baseline) if run.spec.gates else None
    return Published(ArtifactRef(uri=uri, digest=manifest.digest()), validation)


def _validated(folder: Path, run: Run, store: Store, stop: Stop, baseline: Artifact | None) -> Validation:
    """Run the gates, and keep the report: apart from the artifact, for times in it differ from run to run."""
    artifact, task, copies = read_artifact(folder), run.spec.played_in, run.spec.evaluation.vector.count
    with untouched():
        results = run_gates(
            run.spec.gates or (), artifact, task, stop=lambda: stop.asked, copies=copies, beside=baseline
        )
    validated = Validated(artifact, task, results)
    log.info("%s", sentence(validated))
    report, facts = (
        kept(f"the report {name}", lambda name=name, content=content: store.keep(name, content), stop)
        for name, content in documents(validated).items()
    )
    return summary(results).model_copy(update={"report": report, "facts": facts})


def kept(what: str, keep: Callable[[], str], stop: Stop, *, patience_s: float = float("inf")) -> str:
    """Return what `keep` returns, once the store answers.

    Args:
        what: It is, for who is told that it waits.
        patience_s: As in `until_answered`.
    Raises: StoreRefused, Interrupted, StoreUnavailable after the patience.
    """
    return until_answered(
        keep,
        what=f"{what} waits for the store",
        away=StoreUnavailable,
        stop=stop,
        patience_s=patience_s,
        hangs=True,
    )
