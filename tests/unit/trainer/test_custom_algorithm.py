"""Algorithms of a user's own learn what has a known answer, and are resumed to the last bit; what is wrong is told."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainer_configs import make_config
from trainer_support import ROOT, StopAfter

from belay_api.artifact import TRAINING_FILE, verify
from belay_api.training import TrainingReport
from belay_trainer.config import Run
from belay_trainer.errors import AlgorithmFailed, BadConfiguration, Diverged, EnvironmentFailed, Interrupted
from belay_trainer.evaluate import Evaluator
from belay_trainer.heartbeat import Heartbeat
from belay_trainer.runtime import importable
from belay_trainer.session import train_in
from belay_trainer.stop import Stop
from belay_trainer.store.local import LocalStore
from belay_trainer.train import build

EXAMPLES = ROOT / "examples" / "your-own-algorithm"
REINFORCE = {"entrypoint": "reinforce:Reinforce", "kwargs": {"timesteps": 32, "hidden": 8, "learning_rate": 0.05}}
CEM = {"entrypoint": "cem:CEM", "kwargs": {"candidates": 16, "elites": 4}}
FIRST = 1_010_000  # reset seed of the last measurement's first episode

HEAD = """
import torch
from belay_trainer.algorithm import Algorithm, Task

class Base(Algorithm):
    def __init__(self, task: Task, rate: float = 0.1) -> None:
        self.policy = torch.nn.Linear(2, 2)
    def learn(self, task):
        task.step([0] * task.copies)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Yield what puts a module `mine` where a pod has the user's own, beside the examples."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(EXAMPLES)])
    monkeypatch.setattr(importable, "_OWN", [])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    folder = tmp_path / "code"
    folder.mkdir()

    def write(text: str) -> None:
        (folder / "mine.py").write_text(HEAD + text)
        importable.add(folder, own=True)

    yield write
    for name in ("mine", "reinforce", "cem"):
        sys.modules.pop(name, None)


def run_of(custom: dict[str, Any], **spec: Any) -> Run:
    parts = {"environment": {"id": "tasks:Countdown-v0"}, "evaluation": {"every": 1000, "episodes": 7}}
    return Run(make_config(algorithm={"custom": custom}, **parts | spec), index=0, seed=0)


def train(run: Run, root: Path, stop: Stop | None = None) -> TrainingReport:
    store, heartbeat = LocalStore(root, address="store://sha256"), Heartbeat(None, "demo")
    return train_in(run, work_dir=root, store=store, heartbeat=heartbeat, stop=stop or Stop())


@pytest.mark.parametrize("custom", [REINFORCE, CEM], ids=["reinforce", "cem"])
def test_the_examples_learn_what_is_best(custom: dict[str, Any], code: object, tmp_path: Path) -> None:
    report = train(run_of(custom), tmp_path)
    lengths = [seed % 7 + 1 for seed in range(FIRST, FIRST + 100)]
    assert report.return_ == np.mean(lengths), "each timestep pays 1 for the right action"

    assert report.artifact is not None
    folder = tmp_path / "artifacts" / report.artifact.digest.removeprefix("sha256:")
    manifest = verify(folder, wanted=report.artifact.digest)
    assert (manifest.algorithm, manifest.output) == ("custom", "logits")
    assert {entry.path for entry in manifest.files} >= {"policy.onnx", "policy.pt", TRAINING_FILE}
    assert report.preset is None


def test_a_round_is_not_told_to_be_too_large_a_gradient_step(code: object, tmp_path: Path) -> None:
    run = run_of(CEM, environment={"id": "CartPole-v1"}, budget={"steps": 3_000})  # a few rounds, all of them large
    assert train(run, tmp_path).findings == []


@pytest.mark.parametrize("custom", [REINFORCE, CEM], ids=["reinforce", "cem"])
def test_a_cut_changes_no_bit(
    custom: dict[str, Any], code: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Evaluator.random
    monkeypatch.setattr(Evaluator, "random", lambda self, **how: played(self, **how | {"stop": lambda: False}))
    spec = {"environment": {"id": "CartPole-v1"}, "evaluation": {"every": 1000, "episodes": 2, "finalEpisodes": 2}}
    run = run_of(custom, **spec)
    whole = train(run, tmp_path / "whole")
    for looks in (100, 120):  # of about 40 a round
        with pytest.raises(Interrupted, match="a checkpoint is saved"):
            train(run, tmp_path / "pieces", StopAfter(looks))
    pieces = train(run, tmp_path / "pieces")
    assert pieces.resumed_from
    assert pieces.weights_sha256 == whole.weights_sha256
    assert _files(tmp_path / "pieces", pieces) == _files(tmp_path / "whole", whole)


def _files(root: Path, report: TrainingReport) -> dict[str, str]:
    """Return the digest of each file but one: torch numbers the classes it traces in a process, and writes it down."""
    assert report.artifact is not None
    manifest = verify(root / "artifacts" / report.artifact.digest[7:], wanted=report.artifact.digest)
    return {entry.path: entry.sha256 for entry in manifest.files if entry.path != "policy.pt"}


@pytest.mark.parametrize(
    ("text", "custom", "words"),
    [
        ("", {"entrypoint": "mines:Base"}, "this pod has no module mines"),
        ("import nowhere", {}, "mine imports nowhere"),
        ("1 / 0", {}, "mine.py line 10: ZeroDivisionError"),
        ("", {"entrypoint": "mine:Bass"}, "mine has no function or class Bass: did you mean 'Base'?"),
        ("", {"kwargs": {"rat": 1}}, "rat is none of them: did you mean 'rate'?"),
        ("class Mine(Algorithm):\n    pass", {"entrypoint": "mine:Mine"}, "Mine has no learn"),
        ("def make(task): return {}", {"entrypoint": "mine:make"}, "returned a dict, wanted an Algorithm"),
        ("def make(task): return Base(task).nets", {"entrypoint": "mine:make"}, "mine.py line 10: AttributeError"),
        ("class Base(Base):\n    def __init__(self, task): pass", {}, "Base.policy is nothing, wanted a torch.nn"),
        ("Base.output = 'logit'", {}, "output is 'logit': did you mean 'logits'?"),
        ("Base.output = 'mean'", {}, "a box is needed"),
        ("Base.critic = 3", {}, "Base.critic is a int, wanted a torch.nn.Module or None"),
        ("Base.critic = torch.nn.Linear(2, 1)", {},
         r"critic answers float32 of shape \(2, 1\).* wanted float32 of shape \(2,\)"),
        ("def make(task):\n    b = Base(task); b.policy = torch.nn.Linear(2, 3); return b", {"entrypoint": "mine:make"},
         r"policy answers float32 of shape \(2, 3\).*logits has 2"),
        ("def make(task):\n    b = Base(task); b.policy = torch.nn.Linear(4, 2); return b", {"entrypoint": "mine:make"},
         r"policy fails on observations of shape \(2, 2\)"),
        ("def make(task):\n    b = Base(task); b.policy = torch.nn.Tanh(); return b", {"entrypoint": "mine:make"},
         "no parameter and no buffer"),
        ("class Net(torch.nn.Linear):\n    def forward(self, x): return super().forward(x) * float(1 + x.abs().sum())\n"
         "def make(task):\n    b = Base(task); b.policy = Net(2, 2); return b",
         {"entrypoint": "mine:make"}, "policy.onnx would answer otherwise than the policy"),
        ("class Net(torch.nn.Linear):\n    def forward(self, x): return torch.special.bessel_j0(super().forward(x))\n"
         "def make(task):\n    b = Base(task); b.policy = Net(2, 2); return b",
         {"entrypoint": "mine:make"}, "policy cannot be exported"),
        ("def make(task):\n    b = Base(task); b.turns = (i for i in [1]); return b", {"entrypoint": "mine:make"},
         "state of Base cannot be pickled.*generator"),
        ("def make(task):\n    b = Base(task); b.parts = [task]; return b", {"entrypoint": "mine:make"},
         "the task is no part of a checkpoint"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_the_first_timestep(
    code: Callable[[str], None], text: str, custom: dict[str, Any], words: str
) -> None:
    code(text)
    with pytest.raises(BadConfiguration, match=words) as raised:
        build(run_of({"entrypoint": "mine:Base", "kwargs": {}} | custom))
    assert str(raised.value).startswith("algorithm.custom")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"id": "panels:Panel-v0", "kwargs": {"shows": "dict"}}, "observations that are one choice or one array"),
        ({"id": "CartPole-v1", "reward": {"clip": 1.0}}, r"environment\.reward: .*Make others of them in learn\(\)"),
    ],
)
def test_what_it_could_not_learn_from_is_refused(
    code: Callable[[str], None], environment: dict[str, Any], words: str
) -> None:
    code("")
    with pytest.raises(BadConfiguration, match=words):
        build(run_of({"entrypoint": "mine:Base"}, environment=environment))


def test_scaling_is_its_own(code: Callable[[str], None]) -> None:
    code("")
    with pytest.raises(BadConfiguration, match=r"normalize.observation.*in its own networks"):
        build(run_of({"entrypoint": "mine:Base"}, normalize={"observation": True}))


@pytest.mark.parametrize(
    ("learn", "error", "words"),
    [
        ("pass", BadConfiguration, r"without a step of the task: call task\.step"),
        ("task.step([0])", BadConfiguration, r"actions of shape \(1,\), wanted \(8,\)"),
        ("task.step([5] * 8)", BadConfiguration, r"the int64 actions \[5, 5, 5, 5\], wanted whole numbers from 0 to 1"),
        ("task.step([0.5] * 8)", BadConfiguration, "the float64 actions"),
        ("task.step([0] * 8); return [1]", BadConfiguration, r"learn\(\) returned \[1\], wanted numbers by name"),
        ("task.step([0] * 8); return {'loss': float('nan')}", Diverged, "loss is nan at timestep 8"),
        ("task.step([0] * 8); self.policy.weight.data *= float('nan')", Diverged, "weights are not finite"),
        (
            "task.step([0] * 8); self.policy.weight.data *= float('nan'); "
            "torch.distributions.Categorical(logits=self.policy(torch.ones(2)))",
            Diverged,
            "weights are not finite at timestep 8: lower the step size",
        ),
        ("task.step([0] * 8); {}['gone']", AlgorithmFailed, r"mine.py line 12: KeyError: 'gone' \(at timestep 8"),
        ("task.step([0] * 8); torch.zeros(2) @ torch.zeros(3)", AlgorithmFailed, "mine.py line 12: RuntimeError"),
    ],
)
def test_what_goes_wrong_later_is_told_with_its_line(
    code: Callable[[str], None], tmp_path: Path, learn: str, error: type[Exception], words: str
) -> None:
    code(f"class Mine(Base):\n    def learn(self, task):\n        {learn}")
    short = {"budget": {"steps": 64}, "evaluation": {"every": 32, "episodes": 1}}
    with pytest.raises(error, match=words):
        train(run_of({"entrypoint": "mine:Mine"}, **short), tmp_path)


def test_what_an_environment_raises_is_no_fault_of_the_algorithm(code: Callable[[str], None], tmp_path: Path) -> None:
    code("import tasks\nclass Broken(tasks.Countdown):\n    steps = 0\n    def step(self, action):\n"
         "        self.steps += 1\n        if self.steps > 3: raise OSError('no simulator')\n"
         "        return super().step(action)\n"
         "import gymnasium\ngymnasium.register(id='Broken-v0', entry_point=Broken)")  # fmt: skip
    with pytest.raises(EnvironmentFailed, match=r"step.0. failed in timestep \d+ of .*: OSError: no simulator"):
        train(run_of({"entrypoint": "mine:Base"}, environment={"id": "mine:Broken-v0"}), tmp_path)


def test_boxes_are_clipped_and_a_step_tells_where_it_led(code: Callable[[str], None], tmp_path: Path) -> None:
    code("""
import numpy as np
class Mine(Base):
    def __init__(self, task):
        self.policy = torch.nn.Linear(3, 1)
    def learn(self, task):
        before = task.observations
        step = task.step(np.full((task.copies, 1), 100.0))
        assert before.shape == step.next_observations.shape == task.observations.shape == (3, 3)
        assert (step.rewards <= 0).all() and step.rewards.shape == step.ended.shape == (3,)
        assert not step.terminated.any() and (step.truncated == step.ended).all()
        if step.ended.any():  # after 200 timesteps
            assert (step.next_observations != task.observations).any(axis=1).all()
        else:
            assert (step.next_observations == task.observations).all()
""")
    spec = {"budget": {"steps": 650}, "evaluation": {"every": 700, "episodes": 1, "finalEpisodes": 1}}
    environment = {"id": "Pendulum-v1", "vector": {"count": 3}}
    report = train(run_of({"entrypoint": "mine:Mine"}, environment=environment, **spec), tmp_path)
    assert report.step == 651
