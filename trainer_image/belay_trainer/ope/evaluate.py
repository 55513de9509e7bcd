"""Judge the policy in an artifact by a file of logged episodes: what a command and a Job of a cluster both do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from belay_trainer import datasets
from belay_trainer.errors import BadConfiguration
from belay_trainer.ope.artifact_policy import ArtifactPolicy
from belay_trainer.ope.estimators import ESTIMATORS
from belay_trainer.ope.judge import Judgement, judge
from belay_trainer.ope.logged import Logged
from belay_trainer.ope.report import Subject
from belay_trainer.served import Artifact


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What is judged, by what, and how."""

    artifact: Artifact
    dataset: Path
    name: str  # of the policy, in reports
    greedy: bool = True  # as it would be served: its best action, or a drawn one
    estimators: Sequence[str] = ()  # empty: all
    discount: float = 0.99
    confidence: float = 0.95
    seed: int = 0
    least_effective: float | None = None  # see `judge`
    max_regression: float | None = None  # see `judge`


def evaluate(request: EvaluationRequest) -> tuple[Judgement, Subject]:
    """Return what the log says of the policy. Raises: BadConfiguration."""
    policy = ArtifactPolicy(request.artifact, greedy=request.greedy)
    found, notes = datasets.read(request.dataset)
    lineage, digest = policy.manifest.lineage, f"sha256:{datasets.sha256_of(request.dataset)}"
    if lineage is not None and lineage.dataset == digest:
        raise BadConfiguration(
            f"dataset {request.dataset} is the log that the policy was learned from, and it does what was logged more "
            "often there than elsewhere: judge it by episodes that it has not seen."
        )
    dataset = policy.fitted(found, name=str(request.dataset))
    judgement = judge(
        Logged(dataset, policy, discount=request.discount, seed=request.seed),
        estimators=request.estimators or tuple(ESTIMATORS),
        confidence=request.confidence,
        cap=policy.manifest.max_episode_steps,
        least_effective=request.least_effective,
        max_regression=request.max_regression,
    )
    subject = Subject(
        policy=request.name,
        digest=policy.digest,
        environment=policy.manifest.environment,
        acts="greedy" if request.greedy else "sampled",
        dataset=str(request.dataset),
        dataset_digest=digest,
        timesteps=dataset.timesteps,
        notes=tuple(notes),
    )
    return judgement, subject
