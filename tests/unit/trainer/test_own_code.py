"""An environment of the user's own and a package it needs, in real pods: trained, published, resumed, told apart."""

import json
from pathlib import Path

import pytest
from runtime_support import Repository, git_server, write_wheel
from trainer_configs import make_config
from trainer_support import ROOT, Pods, until

from belay_api.artifact import MANIFEST, verify
from belay_trainer.runtime.code import files_digest

EXAMPLE = ROOT / "examples" / "own-environment"
SHORT = {"budget": {"steps": 256}, "evaluation": {"every": 256, "episodes": 2, "finalEpisodes": 2}}
TASK = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
import belay_probe

class Mine(CartPoleEnv):
    version = belay_probe.VERSION

gymnasium.register(id="Mine-v0", entry_point=Mine, max_episode_steps=50)
"""


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """The variables with which pip takes wheels from a folder, as from a claim in a cluster without internet."""
    write_wheel(tmp_path / "wheels", "belay-probe", "1.2")
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}


def test_own_code_and_a_package_are_trained_with_and_recorded(
    pods: Pods, tmp_path: Path, offline: dict[str, str]
) -> None:
    code = tmp_path / "code"
    (code / "my_package").mkdir(parents=True)
    (code / "my_package" / "envs.py").write_text(TASK)
    config = make_config(
        environment={"id": "my_package.envs:Mine-v0"},
        runtime={
            "code": {"configMap": {"name": "mine", "package": "my_package"}},
            "packages": ["belay-probe==1.2"],
        },
        **SHORT,
    )
    pod = pods.run(config, code=code, env=offline)

    assert pod.wait() == 0, pod.log
    assert pod.report.code == files_digest(code)
    assert pod.report.artifact is not None
    [folder] = [path.parent for path in pods.volume.rglob(MANIFEST)]
    lineage = verify(folder, wanted=pod.report.artifact.digest).lineage
    assert lineage.code == pod.report.code
    assert lineage.packages["belay-probe"] == "1.2"
    assert json.loads((folder / "config.json").read_text())["runtime"]["packages"] == ["belay-probe==1.2"]


def test_a_package_that_is_missing_ends_the_pod_in_one_sentence(pods: Pods, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "mine.py").write_text(TASK)
    config = make_config(environment={"id": "mine:Mine-v0"}, runtime={"code": {"configMap": {"name": "mine"}}})
    pod = pods.run(config, code=code)
    assert (pod.wait(), pod.report.outcome) == (3, "BadConfiguration"), pod.log
    assert "mine imports belay_probe" in pod.report.message
    assert "runtime.packages, such as belay-probe==<version>" in pod.report.message


def test_a_stopped_pod_goes_on_in_the_same_episodes_of_an_environment_from_git(pods: Pods, tmp_path: Path) -> None:
    """The environment is part of the checkpoint, and its module must be importable before that is read."""
    repository = Repository(tmp_path / "repository")
    commit = repository.commit({"src/thermostat.py": (EXAMPLE / "thermostat.py").read_text()})
    repository.tag("v1.0", annotated=True)
    with git_server(repository) as url:
        config = make_config(
            environment={"id": "thermostat:Thermostat-v0", "vector": {"count": 1}},
            runtime={"code": {"git": {"url": url, "revision": "v1.0", "path": "src"}}},
            algorithm={"ppo": {"n_steps": 64, "batch_size": 64, "n_epochs": 2}},
            budget={"steps": 4096},
            evaluation={"every": 4096, "episodes": 2, "finalEpisodes": 2},
            checkpoint={"every": 256},
        )
        pod = pods.start(config)
        until(lambda: pods.stored() or pod.process.poll() is not None)
        pod.process.terminate()
        assert pod.wait(60) == 143, pod.log
        following = pods.run(config)
    assert following.wait() == 0, following.log
    assert following.report.resumed_from is not None
    assert following.report.code == f"git:{commit}"
    assert "new episodes" not in following.log


def test_code_that_changed_since_the_seed_began_is_refused(pods: Pods, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "thermostat.py").write_text((EXAMPLE / "thermostat.py").read_text())
    config = make_config(
        environment={"id": "thermostat:Thermostat-v0"},
        runtime={"code": {"configMap": {"name": "thermostat"}}},
        budget={"steps": 1_000_000},
        checkpoint={"every": 2_000},
    )
    pod = pods.start(config, code=code)
    until(lambda: pods.stored() or pod.process.poll() is not None)
    pod.process.terminate()
    assert pod.wait(60) == 143, pod.log
    began = files_digest(code)
    (code / "thermostat.py").write_text((EXAMPLE / "thermostat.py").read_text() + "\n# another reward\n")

    following = pods.run(config, code=code)

    assert (following.wait(), following.report.outcome) == (3, "BadConfiguration"), following.log
    assert f"runtime.code: it was {began}" in following.report.message
