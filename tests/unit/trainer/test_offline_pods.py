"""Whole trainings from a dataset, as pods run them: with a simulator, and without one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from offline_worlds import play, strays, write
from trainer_configs import make_config
from trainer_support import Pod, Pods

from belay_api.artifact import Manifest, verify
from belay_api.dataset import ChosenBy, FloorVerdict
from belay_trainer.errors import BadConfiguration
from belay_trainer.served import Artifact, read_artifact
from belay_trainer.trained_for import task_of

QUICK = {"net_arch": [32], "learning_rate": 3e-3, "batch_size": 64}
SIMULATOR = {"id": "offline_worlds:LoggedCorridor-v0"}
EVERY = {"every": 300, "episodes": 4, "finalEpisodes": 12}

Train = Callable[..., Pod]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of somebody who goes right too seldom."""
    log = play("offline_worlds:LoggedCorridor-v0", [(strays(0.45), 1500)])
    return write(tmp_path_factory.mktemp("log") / "log.parquet", log)


@pytest.fixture
def train(pods: Pods, log: Path) -> Train:
    """Train from it."""

    def start(algorithm: str, *, simulator: bool, **spec: Any) -> Pod:
        evaluation = EVERY | ({"environment": SIMULATOR} if simulator else {})
        return pods.run(
            make_config(
                environment=None,
                dataset={"path": str(log)},
                algorithm={algorithm: QUICK},
                evaluation=evaluation,
                budget={"steps": 300},
                checkpoint={"every": 150},
                **spec,
            )
        )

    return start


def published(pod: Pod, pods: Pods) -> Manifest:
    """The manifest of what a pod published, every byte of which was checked."""
    digest = pod.report.artifact.digest
    return verify(pods.volume / "artifacts" / digest.removeprefix("sha256:"), wanted=digest)


def kept(pod: Pod, pods: Pods) -> Artifact:
    """What a pod published, as commands read it."""
    return read_artifact(pods.volume / "artifacts" / pod.report.artifact.digest.removeprefix("sha256:"))


def test_with_a_simulator_returns_are_told_and_the_floor_is_beaten(train: Train, pods: Pods) -> None:
    pod = train("iql", simulator=True, gates=[{"performance": {"minReturn": 0.5}}])
    assert pod.wait() == 0, pod.log
    report = pod.report
    assert report.validation.passed, "gates are played in the simulator"
    assert (report.return_, report.step, report.estimate) == (1.0, 300, None)
    assert (report.floor.return_, report.floor.verdict) == (0.0, FloorVerdict.BETTER)
    manifest = published(pod, pods)
    assert (manifest.evaluation.mean, manifest.environment) == (1.0, SIMULATOR["id"])
    assert manifest.floor == report.floor
    assert manifest.lineage.dataset.startswith("sha256:")
    assert task_of(kept(pod, pods), id=None, kwargs=None).id == SIMULATOR["id"]


def test_without_a_simulator_no_return_is_told(train: Train, pods: Pods) -> None:
    pod = train("cql", simulator=False)
    assert pod.wait() == 0, pod.log
    report, manifest = pod.report, published(pod, pods)
    assert report.return_ is report.selection_return is report.random is None
    assert manifest.evaluation is manifest.selection is manifest.environment is None
    assert not manifest.outcomes
    with pytest.raises(BadConfiguration, match="names no environment"):
        task_of(kept(pod, pods), id=None, kwargs=None)
    assert "evaluation" in manifest.absent
    assert manifest.estimate == report.estimate
    assert report.estimate.chosen_by is ChosenBy.FITTED_Q
    assert report.estimate.low <= 0.99 <= report.estimate.high, "two steps to the right: 1, discounted once"
    assert (report.floor.verdict, report.floor.return_) == (FloorVerdict.BETTER, None)
