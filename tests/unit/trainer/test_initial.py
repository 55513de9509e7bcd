"""A training that begins with a policy's weights acts as that policy before its first timestep, or says why not."""

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from test_custom_algorithm import EXAMPLES
from trainer_configs import make_config

from belay_api.artifact import MANIFEST, TRAINING_FILE, Manifest, file_entries
from belay_api.init_from import InitialPolicy
from belay_api.training import TrainingReport
from belay_trainer import evaluate
from belay_trainer.config import Run
from belay_trainer.environments import maker
from belay_trainer.errors import BadConfiguration, Interrupted
from belay_trainer.heartbeat import Heartbeat
from belay_trainer.history import History
from belay_trainer.initial import begin_from, open_initial
from belay_trainer.learners.learner import Start
from belay_trainer.session import train_in
from belay_trainer.stop import Stop
from belay_trainer.store.local import LocalStore
from belay_trainer.train import build

SMALL = {"net_arch": [16, 16]}
SCALED = {"observation": True, "reward": True}
PENDULUM = {
    "environment": {"id": "Pendulum-v1"},
    "budget": {"steps": 150},
    "evaluation": {"every": 150, "episodes": 2, "finalEpisodes": 2},
}
OFF_POLICY = SMALL | {"learning_starts": 50, "batch_size": 32}


class Rows:
    """Keeps what a tracker is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def begin(self, step: int) -> None:
        self.rows = [row for row in self.rows if row[0] <= step]

    def record(self, step: int, metrics: Any) -> None:
        self.rows.append((step, dict(metrics)))

    def close(self) -> None:
        pass


def run_of(initial: InitialPolicy | None = None, **spec: Any) -> Run:
    parts = {
        "algorithm": {"ppo": SMALL},
        "budget": {"steps": 512},
        "evaluation": {"every": 512, "episodes": 4, "finalEpisodes": 4},
    }
    config = make_config(**parts | spec).model_copy(update={"initial": initial})
    return Run(config, index=0, seed=0)


def train(
    run: Run, root: Path, *, initial: Path | None = None, stop: Stop | None = None
) -> tuple[TrainingReport, Rows]:
    rows = Rows()
    root.mkdir(exist_ok=True)
    report = train_in(
        run,
        work_dir=root,
        store=LocalStore(root, address="store://sha256"),
        heartbeat=Heartbeat(None, "demo"),
        stop=stop or Stop(),
        history=History([rows]),
        initial=open_initial(run, initial) if initial is not None else None,
    )
    return report, rows


def trained(root: Path, **spec: Any) -> tuple[Path, InitialPolicy]:
    report, _ = train(run_of(**spec), root)
    assert report.artifact is not None
    digest = report.artifact.digest
    return root / "artifacts" / digest.removeprefix("sha256:"), InitialPolicy(policy="before", digest=digest)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, InitialPolicy]:
    """A policy of PPO on CartPole, behind running statistics."""
    return trained(tmp_path_factory.mktemp("before"), normalize=SCALED)


def test_a_policy_that_outlives_a_task_without_a_cap_can_be_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "ENDLESS", 300)
    counts = {"episodes": 3, "finalEpisodes": 3}
    spec = {
        "environment": {"id": "tasks:Skilful-v0"},
        "budget": {"steps": 4096},
        "evaluation": {"every": 1024} | counts,
    }
    folder, policy = trained(tmp_path / "before", **spec)
    report, _ = train(run_of(policy, **spec), tmp_path / "after", initial=folder)
    assert report.outcome == "Succeeded"


def begun(run: Run, folder: Path) -> Any:
    learner, environment = build(run), maker(run.spec.environment)()
    learner.start()
    initial = open_initial(run, folder)
    assert initial is not None
    begin_from(initial, learner, environment, stop=Stop())
    return learner


@pytest.mark.parametrize(
    "spec",
    [
        {"normalize": SCALED},
        {"algorithm": {"dqn": OFF_POLICY}, "budget": {"steps": 200}},
        PENDULUM | {"algorithm": {"sac": OFF_POLICY}, "normalize": {"observation": True}},
        PENDULUM | {"algorithm": {"crossq": OFF_POLICY}},
        {"algorithm": {"custom": {"entrypoint": "reinforce:Reinforce", "kwargs": {"timesteps": 64}}}},
    ],
    ids=lambda spec: next(iter(spec.get("algorithm", {"ppo": {}}))),
)
def test_it_returns_what_the_policy_returns_before_its_first_timestep(
    tmp_path: Path, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    folder, policy = trained(tmp_path / "before", **spec)
    run = run_of(policy, **spec)
    report, rows = train(run, tmp_path / "after", initial=folder)
    first, steps = Manifest.model_validate_json((folder / MANIFEST).read_bytes()), [step for step, _ in rows.rows]
    assert first.selection is not None
    assert steps[0] == 0, "it is evaluated before it learns"
    assert rows.rows[0][1]["return"] == first.selection.mean, "on the same starts, to the last bit"
    assert report.selection_return is not None
    assert report.selection_return >= first.selection.mean, "what only gets worse is not published"
    assert report.artifact is not None
    after = tmp_path / "after" / "artifacts" / report.artifact.digest.removeprefix("sha256:")
    lineage = Manifest.model_validate_json((after / MANIFEST).read_bytes()).lineage
    assert lineage is not None
    assert lineage.initial == policy.digest


def test_beside_an_adversary_who_has_seen_nothing_it_is_not_evaluated(
    before: tuple[Path, InitialPolicy], tmp_path: Path
) -> None:
    """Within no standard deviation there is no attack, and the policy as it came would be published."""
    folder, policy = before
    _, rows = train(run_of(policy, normalize=SCALED, adversary={"epsilon": 0.5}), tmp_path, initial=folder)
    assert min(step for step, _ in rows.rows) > 0


def test_everything_is_taken_and_the_optimiser_is_not(before: tuple[Path, InitialPolicy]) -> None:
    folder, policy = before
    learner = begun(run_of(policy, normalize=SCALED), folder)
    with zipfile.ZipFile(folder / TRAINING_FILE) as zipped:
        saved = torch.load(io.BytesIO(zipped.read("policy.pth")), weights_only=True)
        statistics = json.loads(zipped.read("statistics.json"))
    for name, tensor in learner.model.policy.state_dict().items():
        assert (tensor == saved[name]).all(), name
    assert not learner.model.policy.optimizer.state
    scale = learner.model.get_vec_normalize_env()
    assert scale.obs_rms.mean.tolist() == statistics["obs_rms"]["mean"]
    assert (scale.obs_rms.count, float(scale.ret_rms.var)) == (
        statistics["obs_rms"]["count"][0],
        statistics["ret_rms"]["var"][0],
    )


class StopAtCheckpoint(Stop):
    """Asked to go once there is a checkpoint."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @property
    def asked(self) -> bool:  # type: ignore[override]
        return any(self.folder.glob("*.ckpt"))


def test_a_seed_that_resumes_needs_the_policy_no_more(before: tuple[Path, InitialPolicy], tmp_path: Path) -> None:
    folder, policy = before
    run = run_of(policy, normalize=SCALED, checkpoint={"every": 256})
    whole, _ = train(run, tmp_path / "whole", initial=folder)
    with pytest.raises(Interrupted, match="a checkpoint is saved"):
        train(run, tmp_path / "pieces", initial=folder, stop=StopAtCheckpoint(tmp_path / "pieces" / "checkpoints"))
    resumed, rows = train(run, tmp_path / "pieces", initial=tmp_path / "gone")
    assert resumed.resumed_from
    assert all(step > 0 for step, _ in rows.rows)
    assert resumed.weights_sha256 == whole.weights_sha256


def test_another_algorithm_takes_the_policy_alone(tmp_path: Path) -> None:
    folder, policy = trained(tmp_path, algorithm={"a2c": SMALL})
    learner = begun(run_of(policy), folder)
    with zipfile.ZipFile(folder / TRAINING_FILE) as zipped:
        saved = torch.load(io.BytesIO(zipped.read("policy.pth")), weights_only=True)
    taken = {name for name, tensor in learner.model.policy.state_dict().items() if (tensor == saved[name]).all()}
    assert {"action_net.weight", "mlp_extractor.policy_net.0.weight"} <= taken
    assert "value_net.weight" not in taken


def test_tqc_takes_the_policy_of_sac() -> None:
    made = {name: build(run_of(**PENDULUM, algorithm={name: OFF_POLICY})) for name in ("sac", "tqc")}
    for learner in made.values():
        learner.start()
    theirs = made["sac"].model.policy.state_dict()
    start = Start("RLPolicy before", "sac", None, 1, networks={"policy": theirs}, variables={}, statistics=None)
    made["tqc"].begin_from(start)
    ours = made["tqc"].model.policy.state_dict()
    acting = [name for name in ours if name.startswith("actor.")]
    assert len(acting) == 8, "two layers, means and deviations, each with weights and biases"
    assert all((ours[name] == theirs[name]).all() for name in acting)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"environment": {"id": "Acrobot-v1"}},
         r"observations of RLPolicy before are Box\(4,\).*of this task Box\(6,\)"),
        ({"algorithm": {"ppo": {"net_arch": [32, 16]}}},
         "policy_net.0.weight of RLPolicy before are 16x4.* 32x4.*net_arch"),
        ({"algorithm": {"ppo": SMALL | {"activation_fn": "relu"}}},
         "acts otherwise than RLPolicy before.*activation_fn"),
        ({"normalize": {"observation": False}},
         "with scaled observations.*without.* Set normalize: {observation: true}"),
        ({"algorithm": {"dqn": SMALL}}, "has no weights q_net.*It was trained by ppo: use that algorithm"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(before: tuple[Path, InitialPolicy], spec: dict[str, Any], words: str) -> None:
    folder, policy = before
    with pytest.raises(BadConfiguration, match=words) as raised:
        begun(run_of(policy, **{"normalize": SCALED} | spec), folder)
    assert str(raised.value).startswith("initFrom: ")


def test_nothing_is_read_that_was_changed(before: tuple[Path, InitialPolicy], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(before[0], tmp_path / "changed"))
    (folder / TRAINING_FILE).write_bytes((folder / TRAINING_FILE).read_bytes() + b" ")
    with pytest.raises(BadConfiguration, match=r"training.zip has digest .*, wanted .* It is not loaded"):
        begun(run_of(before[1], normalize=SCALED), folder)
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes() + b" ")
    with pytest.raises(BadConfiguration, match=r"manifest.json has digest .*, wanted"):
        begun(run_of(before[1], normalize=SCALED), folder)


def test_no_pickle_of_a_stranger_is_opened(before: tuple[Path, InitialPolicy], tmp_path: Path) -> None:
    """The artifact is whole, and its author put code into it."""
    folder, trap = Path(shutil.copytree(before[0], tmp_path / "trap")), tmp_path / "sprung"
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    with zipfile.ZipFile(folder / TRAINING_FILE) as zipped:
        members = {name: zipped.read(name) for name in zipped.namelist()}
    content = io.BytesIO()
    torch.save({"weights": _Trap(str(trap))}, content)
    with zipfile.ZipFile(folder / TRAINING_FILE, "w") as zipped:
        for name, member in (members | {"policy.pth": content.getvalue()}).items():
            zipped.writestr(name, member)
    (folder / MANIFEST).unlink()
    changed = manifest.model_copy(update={"files": file_entries(folder)})
    (folder / MANIFEST).write_bytes(changed.canonical())
    with pytest.raises(BadConfiguration, match=r"training.zip of RLPolicy before cannot be read: .*[Ww]eights"):
        begun(run_of(InitialPolicy(policy="before", digest=changed.digest()), normalize=SCALED), folder)
    assert not trap.exists()


def test_statistics_of_another_form_are_refused(before: tuple[Path, InitialPolicy]) -> None:
    learner = build(run_of(normalize=SCALED))
    learner.start()
    manifest = Manifest.model_validate_json((before[0] / MANIFEST).read_bytes())
    weights = {"policy": learner.model.policy.state_dict()}  # type: ignore[attr-defined]
    for broken in ({"mean": [0.0], "var": [1.0], "count": [1.0]}, {"mean": [0.0] * 4}, {"mean": "0"}):
        start = Start("RLPolicy before", "ppo", manifest.normaliser, 1, weights, {}, {"obs_rms": broken})
        with pytest.raises(BadConfiguration, match="the statistics obs_rms of RLPolicy before do not fit"):
            learner.begin_from(start)


class _Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")
