"""`belay-trainer evaluate-offline`: a real artifact, real files, and what each exit code is for."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from dataset_files import dataset_columns, parquet
from linear_policies import PUSH, TWO, artifact

from belay_api.artifact import MANIFEST, Manifest, file_sha256
from belay_trainer.__main__ import main
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.ope.artifact_policy import ArtifactPolicy
from belay_trainer.served import read_artifact

EPISODES = 1_000
TARGET, LOGGING = 2.0, 0.5  # how steeply the first number of the observation decides


@pytest.fixture(scope="module")
def softmax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("softmax") / "policy"
    return artifact(folder, [[0.0, 0.0], [TARGET, 0.0]], output="logits", action=TWO)


def right(steep: float, seen: np.ndarray) -> np.ndarray:
    """The probability of action 1."""
    return 1 / (1 + np.exp(-steep * seen[:, 0]))


def sides(seed: int, *, always: int | None = None) -> Dataset:
    """Episodes of one decision: 1 is paid for action 1 where the first number is above 0, for action 0 elsewhere."""
    generator = np.random.default_rng(seed)
    seen = generator.standard_normal((EPISODES, 2)).astype(np.float32)
    chance = right(LOGGING, seen)
    action = (generator.random(EPISODES) < chance).astype(int) if always is None else np.full(EPISODES, always)
    return Dataset(
        observations=seen,
        actions=action,
        rewards=(action == (seen[:, 0] > 0)).astype(float),
        starts=np.arange(EPISODES + 1),
        terminated=np.ones(EPISODES, dtype=bool),
        ids=tuple(str(number) for number in range(EPISODES)),
        propensities=np.where(action == 1, chance, 1 - chance) if always is None else np.ones(EPISODES),
    )


def worth(steep: float) -> float:
    """What a policy of that steepness is paid, by summing over the observations."""
    seen = np.linspace(-8, 8, 20_001)
    density = np.exp(-0.5 * seen**2) / np.sqrt(2 * np.pi)
    chance = right(steep, seen[:, None])
    return float((density * np.where(seen > 0, chance, 1 - chance)).sum() * (seen[1] - seen[0]))


def evaluate(policy: Path, dataset: Path, *flags: str) -> int:
    return main(["evaluate-offline", "--policy", str(policy), "--dataset", str(dataset), *flags])


def test_a_policy_is_not_judged_by_the_log_that_it_was_learned_from(
    softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = parquet(tmp_path / "log.parquet", dataset_columns(sides(1)))
    other = parquet(tmp_path / "other.parquet", dataset_columns(sides(2)))
    learned = shutil.copytree(softmax, tmp_path / "learned")
    manifest = Manifest.model_validate_json((learned / MANIFEST).read_bytes())
    from_log = manifest.lineage.model_copy(update={"dataset": f"sha256:{file_sha256(log)}"})
    manifest = manifest.model_copy(update={"lineage": from_log})
    (learned / MANIFEST).write_bytes(manifest.canonical())

    assert evaluate(learned, log, "--actions", "sampled") == 3
    assert "is the log that the policy was learned from" in capsys.readouterr().err
    assert evaluate(learned, other, "--actions", "sampled") == 0


def test_judged(softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = parquet(tmp_path / "log.parquet", dataset_columns(sides(1)))
    assert evaluate(softmax, log, "--actions", "sampled", "--out", str(tmp_path / "out")) == 0

    told = json.loads((tmp_path / "out/report.json").read_bytes())
    assert told["judged"] is True
    assert told["return"]["low"] < worth(TARGET) < told["return"]["high"]
    assert told["return"]["high"] - told["return"]["low"] < 0.15, "too wide to tell the policies apart"
    assert worth(TARGET) - worth(LOGGING) > 0.15
    assert told["policy"]["digest"].startswith("sha256:")
    sizes = {"episodes": EPISODES, "timesteps": EPISODES}
    assert told["dataset"] == {"path": str(log), "digest": f"sha256:{file_sha256(log)}", **sizes}
    assert (tmp_path / "out/report.png").read_bytes().startswith(b"\x89PNG")
    assert "report.png" in (tmp_path / "out/report.md").read_text()
    assert "report.png" in (tmp_path / "out/report.html").read_text()
    assert "The policy returns" in capsys.readouterr().out


def test_a_policy_answers_on_the_thread_that_asks_it(softmax: Path) -> None:
    first = ArtifactPolicy(read_artifact(softmax), greedy=False)  # onnxruntime keeps a thread of its own from here on
    before = len(os.listdir("/proc/self/task"))
    second = ArtifactPolicy(read_artifact(softmax), greedy=False)
    for policy in (first, second):
        policy.probabilities(np.zeros((20_000, 2), np.float32))
    assert len(os.listdir("/proc/self/task")) == before


def test_a_policy_is_greedy_unless_it_is_said_otherwise(softmax: Path, tmp_path: Path) -> None:
    log = parquet(tmp_path / "log.parquet", dataset_columns(sides(2)))
    assert evaluate(softmax, log, "--out", str(tmp_path)) == 0
    told = json.loads((tmp_path / "report.json").read_bytes())
    assert told["policy"]["acts"] == "greedy"
    assert told["return"]["low"] <= 1.0 <= told["return"]["high"], "it is always right"


def test_a_policy_is_held_to_what_was_logged(softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = parquet(tmp_path / "log.parquet", dataset_columns(sides(1)))
    assert evaluate(softmax, log, "--actions", "sampled", "--max-regression", "5%") == 0
    assert "That is as much as is allowed" in capsys.readouterr().out
    wrong = artifact(tmp_path / "wrong", [[0.0, 0.0], [-0.3, 0.0]], output="logits", action=TWO)
    assert evaluate(wrong, log, "--actions", "sampled", "--max-regression", "5%") == 6
    assert "That is less than is allowed" in capsys.readouterr().out
    assert evaluate(softmax, log, "--actions", "sampled", "--min-effective-samples", "1000") == 5


def test_a_log_without_what_the_policy_does(softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = parquet(tmp_path / "log.parquet", dataset_columns(sides(3, always=0)))
    assert evaluate(softmax, log, "--out", str(tmp_path)) == 5
    assert json.loads((tmp_path / "report.json").read_bytes())["return"] is None
    assert "cannot be judged offline" in capsys.readouterr().out


def test_propensities_are_those_of_the_head(softmax: Path) -> None:
    data = sides(4)
    policy = ArtifactPolicy(read_artifact(softmax), greedy=False)
    chance = right(TARGET, data.observations)
    assert policy.probabilities(data.observations) == pytest.approx(np.stack([1 - chance, chance], axis=1), abs=1e-5)
    taken = np.where(data.actions == 1, chance, 1 - chance)
    assert np.exp(policy.log_propensity(data.observations, data.actions)) == pytest.approx(taken, abs=1e-5)

    greedy = ArtifactPolicy(read_artifact(softmax), greedy=True)
    best = (data.observations[:, 0] > 0).astype(int)
    assert (np.exp(greedy.log_propensity(data.observations, data.actions)) == (data.actions == best)).all()


def test_continuous_actions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log draws around 0, the policy around the first number / 4, both with a spread of 1/2, clipped at 1."""
    steer = [[0.25, 0.0], [0.0, 0.0]]
    folder = artifact(tmp_path / "policy", steer, output="gaussian", action=PUSH, bias=(0.0, float(np.log(0.5))))
    generator = np.random.default_rng(5)
    seen = generator.standard_normal((EPISODES, 2)).astype(np.float32)
    drawn = np.clip(0.5 * generator.standard_normal(EPISODES), -1, 1).astype(np.float32)
    inside = np.exp(-0.5 * (drawn / 0.5) ** 2) / (0.5 * np.sqrt(2 * np.pi))
    at_bound = 0.022750131948  # of a standard normal number beyond 2
    columns = {
        "episode": [str(number) for number in range(EPISODES)],
        "step": np.zeros(EPISODES, dtype=int),
        "observation": seen,
        "action": drawn[:, None],
        "reward": (seen[:, 0] * drawn).astype(float),
        "terminated": np.ones(EPISODES, dtype=bool),
        "truncated": np.zeros(EPISODES, dtype=bool),
        "propensity": np.where(np.abs(drawn) == 1, at_bound, inside),
    }
    log = parquet(tmp_path / "log.parquet", columns)
    more = generator.standard_normal(400_000)
    truth = float((more * np.clip(more / 4 + 0.5 * generator.standard_normal(len(more)), -1, 1)).mean())

    assert evaluate(folder, log, "--actions", "sampled", "--out", str(tmp_path)) == 0
    told = json.loads((tmp_path / "report.json").read_bytes())
    assert told["return"]["low"] < truth < told["return"]["high"]
    assert told["logged"]["high"] < truth, "the policies are too much alike"

    assert evaluate(folder, log) == 5
    assert "have no ratio" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--estimator", "wdrr"], "estimator 'wdrr' is not known: did you mean 'wdr'?"),
        (["--discount", "0"], "--discount is 0, wanted more than 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--max-regression", "5"], "--max-regression: '5' is no percentage"),
        (["--max-regression", "5%", "--estimator", "fqe"], "advice and no proof"),
        (["--confidence", "95"], "confidence is 95"),
    ],
)
def test_bad_flags(
    softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    log = parquet(tmp_path / "log.parquet", dataset_columns(sides(6)))
    assert evaluate(softmax, log, *flags) == 3
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"observation": np.zeros((EPISODES, 3))}, "`observation` has 3 numbers in a row, the policy's"),
        ({"action": np.full(EPISODES, 2)}, "`action` holds 2 (int64), the policy's actions are whole"),
        ({"action": np.full(EPISODES, 0.5)}, "`action` holds 0.5 (float64)"),
        ({"reward": np.full(EPISODES, np.inf)}, "`reward` is not finite"),
    ],
)  # fmt: skip
def test_logs_of_another_task(
    softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict, said: str
) -> None:
    log = parquet(tmp_path / "log.parquet", dataset_columns(sides(7)) | changed)
    assert evaluate(softmax, log) == 3
    assert said in capsys.readouterr().err


def test_policies_that_cannot_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = parquet(tmp_path / "log.parquet", dataset_columns(sides(8)))
    assert evaluate(tmp_path, log) == 3
    assert "there is no manifest.json" in capsys.readouterr().err

    values = artifact(tmp_path / "values", [[0.0, 0.0], [1.0, 0.0]], output="q-values", action=TWO)
    assert evaluate(values, log, "--actions", "sampled") == 3
    assert "nothing to sample from" in capsys.readouterr().err
    assert evaluate(values, log) == 0
    capsys.readouterr()

    (values / "policy.onnx").write_bytes((values / "policy.onnx").read_bytes() + b"!")
    assert evaluate(values, log) == 3
    assert "policy.onnx has digest" in capsys.readouterr().err
