"""What came of a run, summed up by the operator's own formulas, and the RLPolicy that it would make of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from belay_api import names
from belay_api.artifact import MANIFEST, Manifest
from belay_api.policy import ArtifactSpec, LineageSpec, RLPolicySpec
from belay_api.summary import aggregate
from belay_api.training import Aggregate, ArtifactRef, SeedPhase, SeedStatus, TrainingConfig, TrainingReport
from belay_trainer.local.folder import RunFolder
from belay_trainer.reporting import search as searching

_DIGITS = 6  # of the digest, in the policy's name, as the operator has it


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    config: TrainingConfig
    reports: Mapping[int, TrainingReport]  # last words by index; of a seed that never began there is none
    aggregate: Aggregate | None  # over the seeds that succeeded; None: none has
    manifest: Manifest | None  # of the best seed's artifact
    search: searching.Search | None = None  # before the training; None: there was none


def result_of(config: TrainingConfig, reports: Mapping[int, TrainingReport], folder: RunFolder) -> Result:
    """Return what came of a run, summed up by the operator's own formulas."""
    found = aggregate([_status(report) for report in reports.values()], gated=config.spec.gates is not None)
    manifest = manifest_of(folder, found.best.artifact) if found else None
    return Result(config, reports, found, manifest, searching.read_search(folder))


def policy(result: Result, found: Aggregate) -> dict[str, Any]:
    """Return the RLPolicy of the best seed, as the operator would make it."""
    config, best, publish = result.config, found.best, result.config.spec.publish
    spec = RLPolicySpec(
        artifact=ArtifactSpec(uri=best.artifact.uri, digest=best.artifact.digest),
        lineage=LineageSpec(
            training_job=config.job, uid=config.uid, seed=best.seed, step=best.step, config_hash=config.config_hash
        ),
        **({"serving": publish.serving} if publish else {}),
    )
    family = publish.family if publish else config.job
    digits = best.artifact.digest.removeprefix("sha256:")[:_DIGITS]
    return {
        "apiVersion": names.API_VERSION,
        "kind": "RLPolicy",
        "metadata": {
            "name": f"{family}-{digits}",
            "namespace": config.namespace,
            "labels": {names.FAMILY_LABEL: family, names.TRAINING_JOB_LABEL: config.job},
        },
        "spec": spec.said(),
    }


def succeeded(report: TrainingReport) -> bool:
    """Whether a seed published a policy."""
    return report.outcome == "Succeeded"


def manifest_of(folder: RunFolder, artifact: ArtifactRef) -> Manifest | None:
    """Return the manifest of an artifact in a run's folder; None: it is not there."""
    path = folder.artifact(artifact) / MANIFEST
    return Manifest.model_validate_json(path.read_bytes()) if path.is_file() else None


def _status(report: TrainingReport) -> SeedStatus:
    done = succeeded(report)
    return SeedStatus(
        index=report.index,
        seed=report.seed,
        phase=SeedPhase.SUCCEEDED if done else SeedPhase.FAILED,
        return_=report.return_ if done else None,
        estimate=report.estimate if done else None,
        floor=report.floor if done else None,
        best_step=report.best_step,
        random=report.random,
        artifact=report.artifact if done else None,
        validation=report.validation,
    )
