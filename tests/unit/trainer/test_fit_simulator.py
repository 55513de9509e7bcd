"""Parameters of simulators are found again in logs of another world, or are said not to be told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from simulator_logs import logged

from belay_api.environment import EnvironmentSpec
from belay_trainer.__main__ import main
from belay_trainer.environments import maker
from belay_trainer.errors import BadConfiguration
from belay_trainer.local.manifest import read_manifest
from belay_trainer.simulator import least_squares
from belay_trainer.simulator.fit import Fit, FitRequest, FittedParameter, fit
from belay_trainer.simulator.placing import check_placed, place_for

PUT = "simulator_logs:put_cart"


def _fit(
    path: Path, id: str, randomize: dict[str, Any], *, place: str | None = None, transitions: int = 300, **kwargs: float
) -> Fit:
    task = EnvironmentSpec.model_validate({"id": id, "kwargs": kwargs, "randomize": randomize})
    return fit(FitRequest(task, path, place, transitions=transitions, confidence=0.99, seed=0))


def _by_name(found: Fit) -> dict[str, FittedParameter]:
    return {one.parameter.name: one for one in found.parameters}


def _cart(path: Path, **other: Any) -> Path:
    arguments = {"episodes": 40, "steps": 30, "noise": 0.01, "seed": 1} | other
    return logged(path, "simulator_logs:Cart-v0", {"friction": 0.8, "gain": 3.0, "mass": 2.0}, **arguments)


def test_a_cart_pole_of_another_world_is_found_again(tmp_path: Path) -> None:
    world = {"length": 0.8, "force_mag": 14.0, "gravity": 9.0}
    path = logged(tmp_path / "log.parquet", "CartPole-v1", world, episodes=60, steps=40, noise=0.01, seed=3)
    randomize = {
        "length": {"uniform": [0.2, 1.5]},
        "force_mag": {"log": [2, 50]},
        "gravity": {"uniform": [0.0, 30.0]},
        "masscart": {"uniform": [0.5, 2.0]},  # CartPole steps by its total_mass alone
    }
    found = _fit(path, "CartPole-v1", randomize, transitions=1_000)
    by_name = _by_name(found)
    for name in ("length", "force_mag"):
        one = by_name[name]
        assert one.unknown is None
        assert one.low < world[name] < one.high
        assert one.low < one.value < one.high
        assert one.high - one.low < 0.1 * world[name]
    assert by_name["length"].made_with == 0.5
    assert "no prediction changes with it" in (by_name["masscart"].unknown or "")
    assert found.held_out.gain_low > 0
    assert found.held_out.fitted < 0.5 * found.held_out.made_with


def test_a_pendulum_is_found_again_by_a_keyword_and_attributes(tmp_path: Path) -> None:
    world = {"g": 7.0, "m": 1.6, "l": 0.8}
    path = logged(tmp_path / "log.parquet", "Pendulum-v1", world, episodes=30, steps=40, noise=0.002, seed=4)
    ranges = {"m": {"log": [0.3, 3]}, "l": {"log": [0.3, 3]}}
    for one in _by_name(_fit(path, "Pendulum-v1", ranges | {"g": {"uniform": [2, 20]}})).values():
        assert "can be done by" in str(one.unknown), "g/l and m·l² are all that a pendulum shows"
    told = _by_name(_fit(path, "Pendulum-v1", ranges, transitions=800, g=7.0))
    for name, one in told.items():
        assert one.unknown is None
        assert one.low < world[name] < one.high
        assert one.high - one.low < 0.2 * world[name]


def test_what_can_be_exchanged_is_not_told_and_the_rest_is(tmp_path: Path) -> None:
    asked = {
        "gain": {"uniform": [0.5, 5.0]},
        "mass": {"uniform": [0.5, 5.0]},
        "friction": {"uniform": [0.0, 3.0]},
        "scale": {"uniform": [0.0, 1.0]},
    }
    exact = _cart(tmp_path / "exact.parquet", noise=0.0)  # and no noise hides that two can be exchanged
    for path in (_cart(tmp_path / "log.parquet"), exact):
        found = _by_name(_fit(path, "simulator_logs:Cart-v0", asked, place=PUT))
        assert "done by mass as well" in str(found["gain"].unknown)
        assert "done by gain as well" in str(found["mass"].unknown)
        assert "no prediction changes" in str(found["scale"].unknown)
        assert found["gain"].value / found["mass"].value == pytest.approx(1.5, rel=0.05)
        assert found["friction"].unknown is None
        assert found["friction"].low < 0.8001
        assert found["friction"].high > 0.7999
        assert found["friction"].high - found["friction"].low < 0.4


def test_a_parameter_that_the_log_hardly_shows_is_not_told(tmp_path: Path) -> None:
    path = _cart(tmp_path / "log.parquet", act=lambda shown, generator: np.full(1, 1e-4, np.float32))
    found = _by_name(_fit(path, "simulator_logs:Cart-v0", {"gain": {"uniform": [0.5, 5.0]}}, place=PUT))
    assert "% of its range fit about as well" in str(found["gain"].unknown)


def test_a_range_that_is_too_narrow_is_said_to_be(tmp_path: Path) -> None:
    path = _cart(tmp_path / "log.parquet")
    found = _by_name(_fit(path, "simulator_logs:Cart-v0", {"friction": {"uniform": [0.0, 0.5]}}, place=PUT))
    assert found["friction"].at_end
    assert found["friction"].value == 0.5


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of a straight line, with noise that episodes share: 95 of 100, at 12 episodes as at 40."""
    generator, trials = np.random.default_rng(5), 200
    for episodes in (12, 40):
        held = 0
        for trial in range(trials):
            episode = np.repeat(np.arange(episodes), 6)
            slope = generator.normal(size=(episodes, 1, 2))[episode] + generator.normal(size=(len(episode), 1, 2))
            noise = generator.normal(size=(episodes, 1))[episode] + generator.normal(size=(len(episode), 1))
            truth = np.array([0.4, 0.6])

            def misses(point: np.ndarray) -> np.ndarray:
                return slope @ (truth - point) + 0.1 * noise  # noqa: B023  called before the next trial

            best = least_squares.descend(misses, np.full(2, 0.5))
            told = least_squares.tell(slope, misses(best), episode, best, confidence=0.95, seed=trial)
            held += int((told.low[0] < truth[0]) & (truth[0] < told.high[0]))
        deviation = np.sqrt(0.95 * 0.05 / trials)
        assert 0.95 - 5 * deviation < held / trials < 0.95 + 4 * deviation, f"{held} of {trials} at {episodes}"


def test_a_valley_behind_a_hill_is_found() -> None:
    def misses(point: np.ndarray) -> np.ndarray:
        return np.array([[np.sin(9 * (point[0] - 0.9)), 2 * (point[0] - 0.9)]])

    assert least_squares.descend(misses, np.array([0.1]))[0] < 0.5, "downhill alone does not come across"
    found = least_squares.descend(misses, least_squares.search(misses, 1, seed=0))
    assert found[0] == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize(
    "id", ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"]
)
def test_classic_tasks_go_on_from_an_observation(id: str) -> None:
    make = maker(EnvironmentSpec(id=id))
    check_placed(make(), make(), place_for(make(), None))


@pytest.mark.parametrize(
    ("task", "place", "wanted"),
    [
        ({"id": "simulator_logs:Cart-v0"}, None, "how Cart is put into the state of an observation of 2 .*--state"),
        ({"id": "simulator_logs:Cart-v0"}, "simulator_logs:put_cart_still", "number 1 of the next observation is off"),
        ({"id": "simulator_logs:Cart-v0"}, "simulator_logs:put_crt", "--state.*did you mean put_cart"),
        ({"id": "simulator_logs:Cart-v0", "kwargs": {"gust": 1.0}}, PUT, "chance in them.*without its noise"),
        (
            {"id": "CartPole-v1", "wrappers": [{"name": "FrameStackObservation", "kwargs": {"stack_size": 2}}]},
            None,
            "nobody here knows how CartPoleEnv",
        ),
    ],
)
def test_a_simulator_that_cannot_be_set_is_refused(task: dict[str, Any], place: str | None, wanted: str) -> None:
    make = maker(EnvironmentSpec.model_validate(task))
    with pytest.raises(BadConfiguration, match=wanted):
        check_placed(make(), make(), place_for(make(), place))


def _job(path: Path, environment: dict[str, Any]) -> Path:
    job = {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLTrainingJob",
        "metadata": {"name": "cart"},
        "spec": {
            "environment": environment,
            "algorithm": {"ppo": {}},
            "budget": {"steps": 1000},
            "publish": {"family": "cart"},
        },
    }
    path.write_text(yaml.safe_dump(job))
    return path


def test_the_command_writes_what_a_job_can_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draws = {"friction": {"uniform": [0, 3]}, "scale": {"log": [1, 2]}}
    environment = {"id": "simulator_logs:Cart-v0", "randomize": draws}
    config, out = _job(tmp_path / "job.yaml", environment), tmp_path / "out"
    log = _cart(tmp_path / "log.parquet")
    asked = ["fit-simulator", "--config", str(config), "--dataset", str(log), "--state", PUT, "--transitions", "200"]
    assert main([*asked, "--out", str(out)]) == 5
    printed = capsys.readouterr().out
    assert "scale     cannot be told: no prediction changes with it" in printed
    assert printed.endswith((out / "randomize.yaml").read_text())

    facts = json.loads((out / "fit.json").read_text())
    friction = facts["parameters"]["friction"]
    assert friction["low"] < 0.8 < friction["high"]
    assert facts["parameters"]["scale"]["value"] is None
    assert facts["heldOut"]["fitted"] < facts["heldOut"]["madeWith"]
    block = yaml.safe_load((out / "randomize.yaml").read_text())["environment"]["randomize"]
    assert block["scale"] == {"log": [1, 2]}
    assert block["friction"]["uniform"] == pytest.approx([friction["low"], friction["high"]], rel=1e-4)
    read_manifest(_job(tmp_path / "again.yaml", environment | {"randomize": block}))  # it is what a job can have


@pytest.mark.parametrize(
    ("environment", "flags", "wanted"),
    [
        ({}, [], "environment.randomize names nothing"),
        ({"randomize": {"friction": {"choice": [1, 2]}}}, [], "friction is a choice, and only numbers"),
        ({"randomize": {"friction": {"uniform": [1, 1]}}}, [], "friction.uniform begins and ends at 1: widen it"),
        ({"randomize": {"fricton": {"uniform": [0, 1]}}}, [], "did you mean 'friction'"),
        ({"randomize": {"friction": {"uniform": [0, 1]}}}, ["--confidence", "0.2"], "--confidence is 0.2"),
        ({"randomize": {"friction": {"uniform": [0, 1]}}}, ["--transitions", "0"], "--transitions is 0"),
        ({"id": "CartPole-v1", "randomize": {"length": {"uniform": [0.1, 1]}}}, [], "was this log made in that task"),
    ],
)
def test_bad_input_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, Any],
    flags: list[str],
    wanted: str,
) -> None:
    config = _job(tmp_path / "job.yaml", {"id": "simulator_logs:Cart-v0"} | environment)
    log = _cart(tmp_path / "log.parquet", episodes=12, steps=2)
    state = [] if environment.get("id") else ["--state", PUT]
    assert main(["fit-simulator", "--config", str(config), "--dataset", str(log), *state, *flags]) == 3
    assert wanted in " ".join(capsys.readouterr().err.split())


def test_few_episodes_have_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = _job(tmp_path / "job.yaml", {"id": "simulator_logs:Cart-v0", "randomize": {"gain": {"uniform": [0, 1]}}})
    log = _cart(tmp_path / "log.parquet", episodes=5)
    assert main(["fit-simulator", "--config", str(config), "--dataset", str(log), "--state", PUT]) == 3
    assert "5 episodes are too few to say how sure a value is" in capsys.readouterr().err
