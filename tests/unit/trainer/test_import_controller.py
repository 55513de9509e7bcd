"""A Python function is served as a network that answers what the function does."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import rules
import torch
from import_support import CARTPOLE, Imports, seen_in, served

from belay_trainer.importing import paths

PENDULUM = ("--observation-space", "box:3", "--action-space", "box:1:-2:2")


@pytest.mark.parametrize("name", ["steer", "steer_linearly", "steer_carefully"])
def test_a_rule_of_choices_acts_as_the_function_does(name: str, imports: Imports) -> None:
    folder, manifest = imports.artifact(f"rules:{name}", "--trust", *CARTPOLE)
    far = np.random.default_rng(1).normal(scale=3, size=(300, 4)).astype(np.float32)
    observations = np.concatenate([seen_in(gymnasium.make("CartPole-v1"), 100), far])
    wanted = [getattr(rules, name)(observation) for observation in observations]
    np.testing.assert_array_equal(served(folder, manifest, observations), wanted)
    assert 0 < np.mean(wanted) < 1
    assert manifest.output == "choice"
    assert manifest.imported is not None
    assert (manifest.imported.format, manifest.imported.source) == ("controller", f"rules:{name}")


def test_a_rule_of_numbers_acts_as_the_function_does(imports: Imports) -> None:
    folder, manifest = imports.artifact("rules:swing", "--trust", *PENDULUM)
    observations = seen_in(gymnasium.make("Pendulum-v1"), 300)
    wanted = np.clip([rules.swing(observation) for observation in observations], -2, 2)
    np.testing.assert_allclose(served(folder, manifest, observations), wanted, atol=1e-4)
    assert manifest.output == "mean"


def test_numpys_functions_are_traced(imports: Imports) -> None:
    folder, manifest = imports.artifact(
        "rules:wrapped", "--trust", "--observation-space", "box:2", "--action-space", "box:1"
    )
    observations = np.random.default_rng(0).normal(scale=2, size=(300, 2)).astype(np.float32)
    wanted = [rules.wrapped(observation) for observation in observations]
    np.testing.assert_allclose(served(folder, manifest, observations), wanted, atol=1e-3)


def test_a_rule_over_whole_numbers_is_looked_up(imports: Imports) -> None:
    spaces = ("--observation-space", "discrete:8", "--action-space", "discrete:4")
    folder, manifest = imports.artifact("rules:through_rooms", "--trust", *spaces)
    assert served(folder, manifest, np.arange(8), size=3).tolist() == rules.PLAN


def test_it_is_measured_in_its_environment(imports: Imports) -> None:
    arguments = ("--trust", "--environment", "CartPole-v1", "--episodes", "10")
    _, manifest = imports.artifact("rules:steer", *arguments)
    returns = []
    for episode in range(10):
        environment = gymnasium.make("CartPole-v1")
        observation, _ = environment.reset(seed=1_010_000 + episode)
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = environment.step(rules.steer(observation))
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    assert manifest.evaluation is not None
    assert manifest.evaluation.mean == pytest.approx(np.mean(returns))
    assert np.mean(returns) > 150, "the rule is a good one"


def test_a_path_that_raises_is_an_error_for_that_observation_alone(imports: Imports) -> None:
    folder, manifest = imports.artifact("rules:raises_far_out", "--trust", *CARTPOLE)
    assert "raises on 1 of its paths (ValueError: that far out nobody knows)" in imports.told
    far = np.array([[2000, 0, 1, 0], [0, 0, 1, 0], [0, 0, -1, 0]], np.float32)
    broken, right, left = served(folder, manifest, far)
    assert type(broken).__name__ == "NotFinite"
    assert (right, left) == (1, 0)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "RuntimeError: out of order"),
        ("by_chance", "to the same observation: a policy depends on the observation alone"),
        ("with_memory", "to the same observation"),
        ("with_math", "functions of math"),
        ("as_float", "leave out float()"),
        ("too_many", "wanted an action of Discrete(2)"),
        ("out_of_range", "wanted a whole number from 0 to 1"),
        ("half", "wanted a whole number from 0 to 1"),
        ("in_words", "could not convert string to float"),
        ("without_end", "compares more than 64 times on one path"),
        ("in_all_directions", "more than 256 paths"),
        ("not_a_function", "is a int: a Python function"),
        ("not_there", "rules has no function not_there"),
    ],
)
def test_what_cannot_be_served_is_told(name: str, says: str, imports: Imports) -> None:
    assert says in imports.refused(f"rules:{name}", "--trust", *CARTPOLE)


def test_it_is_code_and_needs_trust(imports: Imports) -> None:
    assert "rules:steer is Python code, which runs here" in imports.refused("rules:steer", *CARTPOLE)
    assert "--observation-space is not set" in imports.refused("rules:steer", "--trust")
    assert "--sha256 goes with a file" in imports.refused("rules:steer", "--trust", "--sha256", "0" * 64, *CARTPOLE)
    assert "is a Python function" in imports.refused("rules:steer", "--trust", "--normalize", "x.pkl", *CARTPOLE)
    assert "--head logits" in imports.refused("rules:steer", "--trust", "--head", "logits", *CARTPOLE)
    assert "No module named 'nowhere'" in imports.refused("nowhere:steer", "--trust", *CARTPOLE)


def test_a_misspelt_function_is_told_the_nearest(imports: Imports) -> None:
    told = imports.refused("rules:steeer", "--trust", *CARTPOLE)
    assert "rules has no function steeer: did you mean 'steer'?" in told
    assert "PYTHONPATH" not in told


def test_every_path_is_run_once() -> None:
    runs = []

    def function(observation: np.ndarray) -> int:
        runs.append("start")
        if observation[0] > 0:
            return 1 if observation[1] > 0 else 2
        return 3

    numbers = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    answer, errors = paths.trace(function, numbers, shape=(2,), width=1)
    assert answer[:, 0].tolist() == [1, 2, 3, 3]
    assert (len(runs), errors) == (3, [])


def test_a_function_that_catches_everything_does_not_hide_what_cannot_be_traced() -> None:
    def function(observation: np.ndarray) -> int:
        try:
            return int(observation[0])
        except Exception:
            return 0

    with pytest.raises(paths.CannotTrace, match="one of Python"):
        paths.trace(function, torch.zeros(1, 1), shape=(1,), width=1)


def test_a_module_is_found_where_the_command_runs(imports: Imports, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine_alone.py").write_text("def act(observation):\n    return int(observation[2] > 0)\n")
    monkeypatch.chdir(tmp_path)
    folder, manifest = imports.artifact("mine_alone:act", "--trust", *CARTPOLE)
    assert served(folder, manifest, np.array([[0, 0, 1, 0], [0, 0, -1, 0]], np.float32)).tolist() == [1, 0]
