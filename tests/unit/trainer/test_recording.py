"""A recording shows the episode that the served policy plays, at the speed at which it was played."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from PIL import Image
from trainer_configs import make_config
from trainer_support import ENVIRONMENT, Pods

from belay_api.artifact import MANIFEST, Manifest
from belay_trainer.__main__ import main
from belay_trainer.errors import BadConfiguration
from belay_trainer.ope.artifact_policy import ArtifactPolicy
from belay_trainer.recording import PICTURES_S, WIDTH, record
from belay_trainer.served import read_artifact
from belay_trainer.trained_for import task_of

SHORT = {"budget": {"steps": 256}, "evaluation": {"every": 256, "episodes": 2, "finalEpisodes": 2}}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of a policy for a CartPole that gravity hardly pulls."""
    pods = Pods(tmp_path_factory.mktemp("recording"))
    task = {"id": "tasks:Heavy-v0", "kwargs": {"gravity": 3.0}}
    pod = pods.run(make_config(environment=task, algorithm={"ppo": {"n_steps": 32}}, **SHORT))
    assert pod.wait() == 0, pod.log
    (manifest,) = pods.volume.rglob(MANIFEST)
    return manifest.parent


def test_it_plays_what_the_policy_plays_where_it_was_trained(artifact: Path, tmp_path: Path) -> None:
    whole = read_artifact(artifact)
    policy = ArtifactPolicy(whole, greedy=True)
    task = task_of(whole, id=None, kwargs=None)
    assert task.kwargs == {"gravity": 3.0}

    found = record(whole, task, tmp_path / "episode.gif", seed=5)

    environment = gymnasium.make("tasks:Heavy-v0", gravity=3.0)
    observation, _ = environment.reset(seed=5)
    timesteps, over = 0, False
    while not over:
        action = policy.sample(np.asarray(observation)[None], np.random.default_rng(0))[0]
        observation, _, terminated, truncated, _ = environment.step(action)
        timesteps, over = timesteps + 1, terminated or truncated
    assert (found.timesteps, found.return_, found.ended) == (timesteps, float(timesteps), True)
    with Image.open(tmp_path / "episode.gif") as shown:
        assert shown.width == WIDTH
        stride = round(environment.metadata["render_fps"] / PICTURES_S)
        assert shown.n_frames == 1 + -(-timesteps // stride), "the beginning, every so many timesteps, and the end"


def test_the_command_says_what_it_shows_and_from_where(artifact: Path, tmp_path: Path) -> None:
    first = Manifest.model_validate_json((artifact / MANIFEST).read_bytes()).evaluation.first_seed
    done = _command(str(artifact), "--out", str(tmp_path / "episode.webp"))
    assert done.returncode == 0, done.stderr
    assert f"from seed {first}: " in done.stdout
    with Image.open(tmp_path / "episode.webp") as shown:
        assert shown.n_frames > 1


def test_what_draws_no_pictures_is_refused(artifact: Path, tmp_path: Path) -> None:
    whole = read_artifact(artifact)
    task = task_of(whole, id="tasks:Countdown-v0", kwargs=None)
    with pytest.raises(BadConfiguration, match="tasks:Countdown-v0 draws no pictures"):
        record(whole, task, tmp_path / "episode.gif", seed=0)


def test_a_seed_that_is_none_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["record", "policy", "--out", "episode.gif", "--seed", "-1"])
    assert ended.value.code == 2
    assert "wanted a whole number from 0 on" in capsys.readouterr().err


def test_a_file_that_cannot_move_is_refused_at_once(artifact: Path) -> None:
    done = _command(str(artifact), "--out", "episode.jpeg")
    assert done.returncode == 2
    assert "wanted a file that ends in .gif, .webp, .png" in done.stderr


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "belay_trainer", "record", *arguments]
    return subprocess.run(command, check=False, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
