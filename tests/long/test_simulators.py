"""The image with MuJoCo and Atari trains what its guide and its example name, as a pod does, and publishes it.

It is built here from the same Dockerfile as the trainer's, which takes minutes where nothing is cached.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.trainer.trainer_configs import make_config

from belay_api.artifact import MANIFEST, Manifest
from belay_api.training import TrainingReport

pytestmark = pytest.mark.timeout(1800)
ROOT = Path(__file__).parents[2]
IMAGE = "belay-trainer-simulators"
CHEETAH = yaml.safe_load((ROOT / "examples" / "simulators" / "halfcheetah.yaml").read_text())["spec"]
GUIDE = (ROOT / "docs" / "guides" / "train.md").read_text()
EPISODES = {"max_episode_steps": 200}
SHORT = {"budget": {"steps": 400}, "evaluation": {"every": 200, "episodes": 1, "finalEpisodes": 2}}
PONG = {"algorithm": {"dqn": {"learning_starts": 100, "buffer_size": 1000}}}


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    """Build it, so that no test below waits for that."""
    _run(["true"])


def test_the_example_in_mujoco_is_trained_and_published(tmp_path: Path) -> None:
    manifest = _trained(CHEETAH, tmp_path)
    assert manifest.environment == "HalfCheetah-v5"
    assert manifest.output == "squashed-gaussian"


def test_an_atari_game_is_trained_from_its_frames(tmp_path: Path) -> None:
    manifest = _trained(PONG | {"environment": {"id": "ale_py:ALE/Pong-v5"}}, tmp_path)
    assert manifest.observation.shape == [210, 160, 3]


def test_the_guides_preprocessed_frames_are_trained_on(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(environment:\n  id: ale_py:.*?)```", GUIDE, re.DOTALL)
    manifest = _trained(PONG | yaml.safe_load(block), tmp_path)
    assert manifest.observation.shape == [4, 84, 84]


def test_mujoco_draws_without_a_screen() -> None:
    task = "import gymnasium; task = gymnasium.make('HalfCheetah-v5', render_mode='rgb_array'); task.reset(seed=0)"
    assert float(_run(["python3", "-c", f"{task}; print(task.render().std())"])) > 10, "an empty picture"


@pytest.mark.parametrize("id", ["InvertedPendulum-v5", "HalfCheetah-v5", "Hopper-v5", "Swimmer-v5"])
def test_mujoco_goes_on_from_an_observation(id: str) -> None:
    """What `belay-trainer fit-simulator` rests on; a task that does not is refused by the same check."""
    placing = "from belay_trainer.simulator.placing import check_placed, place_for"
    made = f"from gymnasium import make; check_placed(make({id!r}), make({id!r}), place_for(make({id!r}), None))"
    assert _run(["python3", "-c", f"{placing}; {made}; print('as it did')"]).strip().endswith("as it did")


def _trained(spec: dict[str, Any], folder: Path) -> Manifest:
    """Train it as a pod does, for a few hundred timesteps, and return what was published."""
    (folder / "store").mkdir()
    for path in (folder, folder / "store"):
        path.chmod(0o777)  # the image's user is nobody here
    task = spec["environment"]
    environment = {"environment": task | {"kwargs": EPISODES | task.get("kwargs", {})}}
    (folder / "job.json").write_text(json.dumps(make_config(**spec | environment | SHORT).dump()))
    flags = {"job-file": "job.json", "work-dir": "", "pvc-dir": "store", "termination-log": "report", "token-file": "-"}
    command = ["python3", "-m", "belay_trainer", "--index=0", *(f"--{flag}=/work/{at}" for flag, at in flags.items())]
    _run(command, f"--mount={folder}:/work", "--env=PYTHONPATH=/opt/belay:/work")
    report = TrainingReport.model_validate_json((folder / "report").read_bytes())
    assert (report.outcome, report.step) == ("Succeeded", 400)
    (path,) = (folder / "store").glob(f"artifacts/*/{MANIFEST}")
    return Manifest.model_validate_json(path.read_bytes())


def _run(command: list[str], *options: str) -> str:
    """Run a command inside the image and return what it printed."""
    driver = [sys.executable, "-m", "belay_cluster", "image-run", *options, IMAGE, "--", *command]
    done = subprocess.run(driver, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
