"""Collections: propensities are the probabilities, cuts change no byte, and what is written can be judged by."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from arro3.io import read_parquet
from trainer_configs import make_config

from belay_api.artifact import EvaluationReport
from belay_api.spaces import BoxSpace
from belay_trainer import datasets, environments
from belay_trainer.__main__ import main
from belay_trainer.collecting.collect import Collected, collect
from belay_trainer.collecting.collection import CollectionSpec
from belay_trainer.collecting.play import play
from belay_trainer.collecting.policies import Uniform, behaviour_of
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import Evaluations, export
from belay_trainer.ope import Logged, judge
from belay_trainer.ope.artifact_policy import ArtifactPolicy
from belay_trainer.served import read_artifact
from belay_trainer.train import build

REPORT = EvaluationReport(step=7, episodes=1, first_seed=0, mean=1.0, std=0.0, min=1.0, max=1.0)
PLAYED = Evaluations(REPORT, selection=REPORT, step=7)
HEATER = {"id": "layered_tasks:Heater-v0", "constraints": [{"name": "heat"}, {"name": "wear", "info": "wear"}]}


def _spec(*policies: dict[str, Any], environment: dict[str, Any] | None = None, **more: Any) -> CollectionSpec:
    parts = {"environment": environment or HEATER, "policies": list(policies), "episodes": 250}
    return CollectionSpec.model_validate(parts | more)


def _artifact(folder: Path, id: str) -> Path:
    """An untrained PPO as an artifact."""
    folder.mkdir()
    run = Run(make_config(environment={"id": id}, algorithm={"ppo": {"net_arch": [8]}}), index=0, seed=0)
    learner = build(run)
    learner.start()
    environment = environments.maker(run.spec.environment)()
    export(
        learner,
        run,
        environment=environment,
        evaluations=PLAYED,
        folder=folder,
    )
    return folder


@pytest.fixture(scope="module")
def countdown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _artifact(tmp_path_factory.mktemp("artifacts") / "countdown", "tasks:Countdown-v0")


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _artifact(tmp_path_factory.mktemp("artifacts") / "pendulum", "Pendulum-v1")


def _column(path: Path, name: str) -> list[Any]:
    found: list[Any] = read_parquet(path).read_all()[name].combine_chunks().to_pylist()
    return found


# --- what is played ---------------------------------------------------------------------------------------------------
def test_a_propensity_is_how_often_an_action_is_taken(countdown: Path) -> None:
    """Of the mixture that explores, of the network, and of chance: each is asked 4,000 times at one observation."""
    spec = _spec(
        {"policy": "random"},
        {"policy": str(countdown)},
        {"policy": str(countdown), "name": "greedy", "actions": "greedy", "epsilon": 0.3},
        {"policy": "layered_tasks:always", "epsilon": 0.1},
    )
    environment, generator, count = environments.maker(spec.environment)(), np.random.default_rng(0), 4000
    observation = environment.reset(seed=3)[0]
    for place, one in enumerate(spec.policies):
        behaviour = behaviour_of(one, environment, field="policies")
        likely = [behaviour.propensity(observation, action) for action in range(2)]
        assert sum(likely) == pytest.approx(1)
        taken = np.bincount([behaviour.act(observation, generator) for _ in range(count)], minlength=2) / count
        assert abs(taken[0] - likely[0]) < 4 * np.sqrt(likely[0] * likely[1] / count), place
        assert min(likely) > 0


def test_policies_play_by_their_weights() -> None:
    spec = _spec({"policy": "random"}, {"policy": "layered_tasks:always", "weight": 3})
    environment = environments.maker(spec.environment)()
    behaviours = [behaviour_of(one, environment, field="policies") for one in spec.policies]
    played = [play(number, spec, behaviours, environment) for number in range(1000)]
    share = np.mean([one.policy == "random" for one in played])
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 1000)
    assert len({one.seed for one in played}) == 1000
    assert min(one.seed for one in played) >= 2**31, "nothing is learned where policies are evaluated"


def test_uniform_actions_of_a_box_have_a_density(pendulum: Path) -> None:
    environment = environments.maker(_spec({"policy": "random"}, environment={"id": "Pendulum-v1"}).environment)()
    behaviour = behaviour_of(_spec({"policy": "random"}).policies[0], environment, field="policies")
    assert behaviour.propensity(None, None) == 0.25
    drawn = np.array([behaviour.act(None, np.random.default_rng(seed))[0] for seed in range(400)])
    assert drawn.dtype == np.float32
    assert np.abs(np.sort(drawn) / 4 + 0.5 - (np.arange(400) + 0.5) / 400).max() < 0.11  # one in 10,000 by chance


# --- what is written --------------------------------------------------------------------------------------------------
def test_what_is_written_is_what_happened(tmp_path: Path) -> None:
    spec = _spec({"policy": "random"}, {"policy": "layered_tasks:always"}, episodes=120)
    out = tmp_path / "log.parquet"
    done = collect(spec, out)
    assert (done.played, done.found) == (120, 0)
    dataset, notes = datasets.read(out)
    assert (dataset.episodes, dataset.discrete, dataset.terminated.all()) == (120, True, True)
    assert dataset.propensities is not None
    assert not any("not known" in note for note in notes), "every column is one of the contract"
    actions = np.array(_column(out, "action"))
    assert (np.array(_column(out, "cost.heat")) == 0.5 * actions).all()
    assert np.sum(_column(out, "cost.wear")) == 1200
    assert (dataset.rewards == actions).all(), "a reward has no cost in it"
    always = np.array(_column(out, "policy")) == "layered_tasks:always"
    assert (actions[always] == 1).all()
    assert (dataset.propensities == np.where(always, 1.0, 0.5)).all()
    assert np.array([value is not None for value in _column(out, "next_observation")]).sum() == 120
    left = dataset.observations[dataset.starts[:-1], 0]
    assert (left == dataset.lengths).all(), "an episode of Countdown shows its length at the start"


def test_truncated_episodes_have_what_followed(tmp_path: Path) -> None:
    wrapper = {"name": "TimeLimit", "kwargs": {"max_episode_steps": 6}}
    task = {"id": "CartPole-v1", "wrappers": [wrapper], "randomize": {"gravity": {"uniform": [5, 15]}}}
    collect(_spec({"policy": "random"}, environment=task, episodes=20), tmp_path / "log.parquet")
    dataset, _ = datasets.read(tmp_path / "log.parquet")
    assert set(dataset.lengths) == {6}
    following, known = dataset.follows()
    assert known.all()
    before = dataset.observations[dataset.starts[1:] - 1]
    np.testing.assert_allclose(following[:, 0], before[:, 0] + 0.02 * before[:, 1], rtol=1e-5)


@pytest.mark.parametrize("name", ["log.parquet", "log"])
def test_observations_that_are_one_choice_are_written_and_read(name: str, tmp_path: Path) -> None:
    lake = {"id": "FrozenLake-v1", "wrappers": [{"name": "TimeLimit", "kwargs": {"max_episode_steps": 5}}]}
    spec = _spec({"policy": "random"}, environment=lake, episodes=30)
    collect(spec, tmp_path / name)
    dataset, _ = datasets.read(tmp_path / name)
    assert dataset.observations.shape == (dataset.timesteps,)
    assert dataset.observations.dtype.kind == "i"
    following, known = dataset.follows()
    assert known.all()
    assert (~dataset.terminated).any()
    before, after = (np.divmod(places, 4) for places in (dataset.observations[dataset.starts[1:] - 1], following))
    assert (sum(np.abs(one - other) for one, other in zip(before, after, strict=True)) <= 1).all(), "one step away"


@pytest.mark.parametrize(("parts", "there"), [(1, 100), (2, 200), (3, 250)])  # in the middle, and before the end
def test_a_cut_changes_no_byte(tmp_path: Path, parts: int, there: int) -> None:
    spec = _spec({"policy": "random"}, {"policy": "layered_tasks:always", "epsilon": 0.5})
    whole, pieces = tmp_path / "whole.parquet", tmp_path / "pieces.parquet"
    collect(spec, whole)
    told: list[int] = []

    def leave(count: int) -> None:
        told.append(count)
        if len(told) == parts:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(spec, pieces, told=leave)
    assert not pieces.exists()
    assert told[-1] == there
    done = collect(spec, pieces)
    assert (done.played, done.found) == (250 - there, there)
    assert pieces.read_bytes() == whole.read_bytes()
    assert collect(spec, pieces) == Collected(0, 250)
    assert [path.name for path in tmp_path.iterdir() if "parts" in path.name] == []


def test_the_summary_has_means_and_standard_errors_by_policy(tmp_path: Path) -> None:
    done = collect(_spec({"policy": "layered_tasks:always"}, episodes=30), tmp_path / "log.parquet")
    lengths = np.diff(datasets.read(tmp_path / "log.parquet")[0].starts)
    error = lengths.std(ddof=1) / np.sqrt(30)
    assert done.summary == (
        f"layered_tasks:always: 30 episodes, return {lengths.mean():.3g} (standard error {error:.3g}), "
        f"cost.heat {lengths.mean() / 2:.3g} (standard error {error / 2:.3g}), cost.wear 10.0 (standard error 0.0).",
    )


def test_minaris_layout_holds_the_same(tmp_path: Path) -> None:
    spec = _spec({"policy": "random"}, {"policy": "layered_tasks:always"}, episodes=120)
    collect(spec, tmp_path / "log.parquet")
    collect(spec, tmp_path / "log")
    (one, _), (other, notes) = datasets.read(tmp_path / "log.parquet"), datasets.read(tmp_path / "log")
    for name in ("observations", "actions", "rewards", "starts", "terminated", "propensities", "last_observations"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert not any("not known" in note for note in notes)
    metadata = json.loads((tmp_path / "log" / "data" / "metadata.json").read_text())
    assert (metadata["total_episodes"], metadata["total_steps"]) == (120, one.timesteps)
    assert json.loads(metadata["action_space"]) == {"type": "Discrete", "dtype": "int64", "start": 0, "n": 2}
    with h5py.File(tmp_path / "log" / "data" / "main_data.hdf5") as file:
        infos = file["episode_7/infos"]
        assert infos["cost.wear"][()].tolist() == [0.0] * int(one.lengths[7]) + [10.0]
        assert file["episode_7"].attrs["policy"] in ("random", "layered_tasks:always")
    assert collect(spec, tmp_path / "log").found == 120
    with pytest.raises(BadConfiguration, match="log holds another collection"):
        collect(spec.model_copy(update={"seed": 9}), tmp_path / "log")


def test_another_collection_in_the_same_place_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "log.parquet"
    collect(_spec({"policy": "random"}, episodes=10), out)
    with pytest.raises(BadConfiguration, match="log.parquet holds another collection"):
        collect(_spec({"policy": "random"}, episodes=10, seed=1), out)


@pytest.mark.parametrize("name", ["log.parquet", "log"])
def test_what_is_no_dataset_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PAR1 and no more PAR1")
    with pytest.raises(BadConfiguration, match=f"{name} holds another collection"):
        collect(_spec({"policy": "random"}, episodes=10), tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"PAR1 and no more PAR1"


# --- what it is good for ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("task", ["tasks:Countdown-v0", "Pendulum-v1"])
def test_a_policy_judged_by_its_own_log_is_worth_what_it_returned(
    task: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(task.rpartition(":")[2].partition("-")[0].lower())
    short = {"id": task, "wrappers": [{"name": "TimeLimit", "kwargs": {"max_episode_steps": 40}}]}
    asked = {"environment": short, "policies": [{"policy": str(folder)}], "episodes": 40}
    (tmp_path / "log.yaml").write_text(yaml.safe_dump(asked))
    assert main(["collect", "--config", str(tmp_path / "log.yaml"), "--out", str(tmp_path / "log.parquet")]) == 0
    dataset, _ = datasets.read(tmp_path / "log.parquet")
    policy = ArtifactPolicy(read_artifact(folder), greedy=False)
    logged = Logged(policy.fitted(dataset, name="log"), policy, discount=0.99)
    np.testing.assert_allclose(logged.log_ratios, 0, atol=1e-5)
    judgement = judge(logged, estimators=("is",))
    assert judgement.headline is not None
    assert judgement.headline.found is not None
    assert judgement.headline.found.value == pytest.approx(logged.returns.mean(), rel=1e-3)


# --- bad input --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda it: it.update(policies=[]), "policies"),
        (lambda it: it.update(polices=it.pop("policies")), "polices is no field: did you mean policies?"),
        (lambda it: it["policies"][0].update(weight=0), "policies.0.weight is 0"),
        (lambda it: it["policies"].append({"policy": "random"}), "two are called 'random'"),
        (lambda it: it["policies"].append({"policy": "layered_tasks:allways"}), r"policies\[1\].*did you mean always"),
        (
            lambda it: it["policies"].append({"policy": "layered_tasks:time_left"}),
            "answers 9.0, wanted an action of Discrete",
        ),
        (lambda it: it["policies"].append({"policy": "layered_tasks:whim"}), "and then .* to the same observation"),
        (
            lambda it: it["policies"].append({"policy": "layered_tasks:height"}),
            "layered_tasks:height fails: IndexError",
        ),
        (lambda it: it["policies"].append({"policy": "nowhere"}), r"policies\[1\].policy: nowhere is no folder of an"),
        (lambda it: it["policies"].append({"policy": "Randm"}), r"policies\[1\].policy: Randm is .*mean random\?"),
        (lambda it: it["policies"][0].update(actions="greedy"), "actions is for artifacts"),
        (lambda it: it["environment"].update(id="Pendulum-v1", constraints=[]), "epsilon: actions are Box"),
        (lambda it: it["environment"]["constraints"].append({"name": "x", "info": "coast"}), "did you mean 'cost'"),
        (lambda it: it["policies"][0].update(epsilon="much"), "wanted a number without quotes"),
        (
            lambda it: it["environment"].update(id="panels:Panel-v0", kwargs={"shows": "dict"}, constraints=[]),
            "observations that are one choice or one array, and this task's are Dict.*FlattenObservation",
        ),
        (
            lambda it: it["environment"].update(id="panels:Panel-v0", kwargs={"masks": "method"}, constraints=[]),
            "the task forbids actions.*a dataset has no column",
        ),
        (lambda it: it["environment"].update(id="tasks:Explosive-v0", constraints=[]), "paid a reward of inf, wanted"),
    ],
)
def test_bad_input_is_told(
    change: Callable[[dict[str, Any]], None], wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = _spec({"policy": "random", "epsilon": 0.5}, episodes=9).dump()
    change(asked)
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(asked))
    assert main(["collect", "--config", str(tmp_path / "bad.yaml"), "--out", str(tmp_path / "log.parquet")]) == 3
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(wanted, told), told
    assert not (tmp_path / "log.parquet").exists()


def test_what_an_environment_raises_is_told_with_its_place_and_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = _spec({"policy": "random"}, environment={"id": "tasks:Thirsty-v0"}, episodes=99, seed=7)
    (tmp_path / "log.yaml").write_text(yaml.safe_dump(spec.dump()))
    flags = ["collect", "--config", str(tmp_path / "log.yaml"), "--out", str(tmp_path / "log.parquet")]
    assert main(flags) == 1
    told = capsys.readouterr().err
    found = re.match(
        r"belay-trainer collect: episode (\d+): environment.id 'tasks:Thirsty-v0': step\([01]\) failed in timestep "
        r"(\d+) of the episode of reset seed (\d+): RuntimeError: out of fuel\. Its traceback says where to mend the "
        r"environment\.\nTraceback ",
        told,
    )
    assert found, told
    assert 'raise RuntimeError("out of fuel")' in told
    number, timestep, seed = map(int, found.groups())
    spec = _spec({"policy": "random"}, environment={"id": "CartPole-v1"}, episodes=99, seed=7)
    environment = environments.maker(spec.environment)()
    behaviours = [behaviour_of(spec.policies[0], environment, field="policies[0]")]
    before = [play(one, spec, behaviours, environment) for one in range(number + 1)]
    assert before[-1].seed == seed
    assert sum(episode.length for episode in before[:-1]) + timestep == 700, "what its fuel lasts for"
    assert main(flags) == 1, "the machine may have been at fault, and is asked again"


def test_a_place_that_cannot_be_written_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.yaml").write_text(yaml.safe_dump(_spec({"policy": "random"}, episodes=9).dump()))
    assert main(["collect", "--config", str(tmp_path / "log.yaml"), "--out", "/proc/log.parquet"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("belay-trainer collect: /proc/log.parquet.parts: ")
    assert told.count("\n") == 1


def test_an_artifact_of_another_task_is_refused(countdown: Path) -> None:
    spec = _spec({"policy": str(countdown)}, environment={"id": "CartPole-v1"})
    environment = environments.maker(spec.environment)()
    with pytest.raises(BadConfiguration, match=r"observations of .* are Box\(2,\).*of the environment Box\(4,\)"):
        behaviour_of(spec.policies[0], environment, field="policies[0]")


def test_a_box_without_a_uniform_density_is_refused_before_anything_is_played() -> None:
    flat = BoxSpace(shape=[2], dtype="float32", low=[0.0, 1.0], high=[1.0, 1.0])
    with pytest.raises(BadConfiguration, match="the product of its ranges is 0"):
        Uniform(flat, "policies[0]")
