"""A policy of several choices under masks, that sees several parts, through all that is done with an artifact."""

from pathlib import Path

import pytest
from trainer_configs import make_config
from trainer_support import Pods

from belay_api.artifact import MANIFEST
from belay_api.environment import EnvironmentSpec
from belay_api.gates import Gate
from belay_api.reasons import Verdict
from belay_trainer import environments
from belay_trainer.errors import BadConfiguration
from belay_trainer.recording import record
from belay_trainer.served import Artifact, read_artifact
from belay_trainer.validation.gates import check_gates, run_gates

TASK = {"id": "panels:Panel-v0", "kwargs": {"action": "dials", "shows": "dict", "masks": "info"}}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The policy of a short training, whose gates were run before it was published."""
    pods = Pods(tmp_path_factory.mktemp("parts"))
    pod = pods.run(
        make_config(
            environment=TASK,
            algorithm={"maskablePPO": {"n_steps": 32}},
            budget={"steps": 256},
            evaluation={"every": 256, "episodes": 2, "finalEpisodes": 2},
            gates=[{"performance": {"minReturn": -1, "episodes": 5}}],
        )
    )
    assert pod.wait() == 0, pod.log
    assert pod.report.validation is not None
    assert pod.report.validation.gates == 1
    (manifest,) = pods.volume.rglob(MANIFEST)
    return read_artifact(manifest.parent)


def test_gates_play_it_under_its_masks(artifact: Artifact) -> None:
    """The panel raises an error for an action that is not allowed."""
    gates = [Gate.model_validate({"performance": {"minReturn": -1, "episodes": 16}})]
    (found,) = run_gates(gates, artifact, EnvironmentSpec.model_validate(TASK))
    assert found.verdict in (Verdict.PASS, Verdict.NOT_ENOUGH_SAMPLES)
    (returns,) = found.measured.returns.values()
    assert 0 <= returns.min() <= returns.max() <= 8


def test_what_cannot_be_disturbed_is_refused_before_anything_is_trained() -> None:
    task = EnvironmentSpec.model_validate(TASK)
    environment = environments.maker(task)()
    for gate, words in (
        ({"robustness": {"maxDrop": "10%"}}, "are not one array of numbers"),
        ({"worstCase": {"maxDrop": "10%", "epsilon": 0.1}}, "are not one array of numbers"),
    ):
        with pytest.raises(BadConfiguration, match=words):
            check_gates([Gate.model_validate(gate)], environment, task)


def test_what_draws_nothing_is_not_recorded(artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="draws no pictures"):
        record(artifact, EnvironmentSpec.model_validate(TASK), tmp_path / "episode.gif", seed=0)
