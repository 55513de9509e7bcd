"""Configuration in, report out, heartbeats that never wait."""

import json
import re
import shlex
import subprocess
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import gymnasium
import httpx
import pytest
import torch
from trainer_configs import make_config
from trainer_support import LogbookServer, until

from belay_api.environment import EnvironmentSpec
from belay_api.training import TrainingReport
from belay_api.wire import RunProgress
from belay_trainer import heartbeat
from belay_trainer.__main__ import main
from belay_trainer.commands import pod
from belay_trainer.config import Run, read_run
from belay_trainer.environments import maker
from belay_trainer.errors import BadConfiguration, Diverged, EnvironmentFailed, StoreUnavailable
from belay_trainer.heartbeat import KEPT, Heartbeat
from belay_trainer.report import LIMIT, encode
from belay_trainer.stop import Stop
from belay_trainer.train import build
from belay_trainer.waits import Waits
from belay_trainer.wrapping.guarded import Guarded


def _file(folder: Path, **spec: object) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps(make_config(**spec).dump()))
    return path


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("Explosive", r"step\(\) paid a reward of inf, wanted a finite number"),
        ("Misshapen", r"reset\(\) shows another observation than .* declares: its shape is \(3,\), wanted \(2,\)"),
        ("Sightless", r"reset\(\) shows an observation whose number 1 is nan, wanted finite ones"),
        ("Wordy", r"step\(\) paid a reward of 'one', wanted a finite number"),
    ],
)
def test_what_cannot_be_learned_from_is_told_after_one_step(task: str, words: str) -> None:
    with pytest.raises(BadConfiguration, match=f"environment.id: {words}"):
        build(Run(make_config(environment={"id": f"tasks:{task}-v0"}), index=0, seed=0))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("Overflowing", "the environment paid a reward of inf for the action"),
        ("Blind", "an observation by timestep .* is not finite"),
    ],
)
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_what_is_no_number_is_called_by_its_name_and_no_step_size(task: str, words: str, algorithm: str) -> None:
    settings = {"n_steps": 32} if algorithm == "ppo" else {"learning_starts": 100}
    learner = build(Run(make_config(environment={"id": f"tasks:{task}-v0"}, algorithm={algorithm: settings}), 0, 0))
    learner.start()
    with pytest.raises(Diverged, match=words) as ended:
        learner.advance(2000, leave=lambda: False, on_step=lambda: None)
    assert "learning_rate" not in str(ended.value)


@pytest.mark.parametrize(
    ("command", "does"), [("run", "belay_trainer.local.run.run_here"), ("suite", "belay_trainer.suite.run.run_suite")]
)
def test_a_full_disk_is_told_with_its_place(
    command: str, does: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        Path("/dev/full").write_text("a report")

    monkeypatch.setattr(does, full)
    assert main([command, "--config", "job.yaml", "--out", "of-mine"]) == 1
    told = capsys.readouterr().err
    assert "of-mine: " in told
    assert "No space left on device" in told


def test_a_full_disk_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod, "_train", lambda *_: Path("/dev/full").write_text("a checkpoint"))
    monkeypatch.setattr(Stop, "listen", lambda _: None)  # the signals are the test run's own
    (tmp_path / "job.json").write_text(json.dumps(make_config().dump()))
    report = tmp_path / "termination-log"
    flags = {"job-file": tmp_path / "job.json", "index": 0, "work-dir": tmp_path, "termination-log": report}
    assert main(["pod", *(f"--{name}={value}" for name, value in flags.items())]) == 1
    message = TrainingReport.model_validate_json(report.read_bytes()).message
    assert f"no space is left where this seed keeps its checkpoints and curves, {tmp_path}" in message


def test_the_log_of_a_pod_has_the_traceback_of_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def play(*_: object) -> None:
        environment = maker(EnvironmentSpec(id="tasks:Unfinished-v0"))()
        environment.reset(seed=3)
        environment.reset()
        environment.step(1)

    monkeypatch.setattr(pod, "_train", play)
    monkeypatch.setattr(Stop, "listen", lambda _: None)  # the signals are the test run's own
    (tmp_path / "job.json").write_text(json.dumps(make_config().dump()))
    report = tmp_path / "termination-log"
    flags = {"job-file": tmp_path / "job.json", "index": 0, "work-dir": tmp_path, "termination-log": report}
    assert main(["pod", *(f"--{name}={value}" for name, value in flags.items())]) == 1
    message = TrainingReport.model_validate_json(report.read_bytes()).message
    assert message.startswith(
        "environment.id 'tasks:Unfinished-v0': step(1) failed in timestep 1 of episode 2 since reset "
    )
    assert "seed 3: KeyError: 'torque_limit'. Its traceback" in message
    assert 'raise KeyError("torque_limit")' in caplog.text


def test_an_environment_that_cannot_be_made_or_drawn_is_told() -> None:
    def gone() -> None:
        raise OSError("no simulator")

    gymnasium.register(id="Gone-v0", entry_point=gone)
    with pytest.raises(EnvironmentFailed, match="'Gone-v0' with kwargs {} cannot be made: OSError: no simulator"):
        maker(EnvironmentSpec(id="Gone-v0"))()

    plain = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    plain.unwrapped.render = gone  # type: ignore[method-assign]
    plain.reset()
    with pytest.raises(EnvironmentFailed, match="render.* of an episode without a reset seed: OSError"):
        Guarded(plain, "CartPole-v1").render()


def test_the_index_chooses_the_seed(tmp_path: Path) -> None:
    run = read_run(_file(tmp_path, seeds={"count": 3, "first": 40}), "2", tmp_path / "key")
    assert (run.index, run.seed, run.key) == (2, 42, None)


def test_the_key_is_read_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"hidden" * 5 + b"!!")
    run = read_run(_file(tmp_path), "0", tmp_path / "key")
    assert run.key == b"hidden" * 5 + b"!!"
    assert "hidden" not in repr(run)


@pytest.mark.parametrize("index", [None, "", "x", "-1", "3"])
def test_an_index_that_is_none_is_refused(tmp_path: Path, index: str | None) -> None:
    with pytest.raises(BadConfiguration, match="JOB_COMPLETION_INDEX"):
        read_run(_file(tmp_path, seeds={"count": 3}), index, tmp_path / "key")


def test_a_job_file_of_another_version_names_the_field(tmp_path: Path) -> None:
    path = _file(tmp_path)
    path.write_text(path.read_text().replace('"budget"', '"budgett"'))
    with pytest.raises(BadConfiguration, match=r"spec\.budget"):
        read_run(path, "0", tmp_path / "key")


def test_a_missing_job_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read"):
        read_run(tmp_path / "none.json", "0", tmp_path / "key")


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", '"'])
@pytest.mark.parametrize("length", [0, 100, 4000, 100_000])
def test_a_report_always_fits_and_always_parses(character: str, length: int) -> None:
    content = encode(TrainingReport(outcome="Error", index=0, seed=0, message=character * length))
    assert len(content) <= LIMIT
    read = TrainingReport.model_validate_json(content)
    assert read.message == character * length or read.message.endswith("…")


@pytest.mark.parametrize("message", ["", "loss is NaN" * 100])
def test_a_report_that_cannot_fit_is_an_error(message: str) -> None:
    with pytest.raises(ValueError, match="without its message"):
        encode(TrainingReport(outcome="Error", index=0, seed=0, preset="x" * LIMIT, message=message))


@pytest.mark.parametrize(("limits", "told"), [({"nvidia.com/gpu": 1}, True), ({"memory": "1Gi"}, False), ({}, False)])
def test_a_gpu_that_torch_does_not_see_is_told(
    caplog: pytest.LogCaptureFixture, limits: dict[str, object], *, told: bool
) -> None:
    build(Run(make_config(runtime={"resources": {"limits": limits}}), index=0, seed=0))
    assert ("runs on the CPU" in caplog.text) is told


@pytest.mark.parametrize(("asked", "threads"), [({}, 1), ({"threads": 2}, 2)])
def test_torch_computes_with_as_many_threads_as_asked_for(asked: dict[str, int], threads: int) -> None:
    try:
        build(Run(make_config(runtime=asked), index=0, seed=0))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)


def test_images_are_convolved_and_small_ones_flattened_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    found = build(Run(make_config(environment={"id": "tasks:Picture-v0"}), index=0, seed=0))
    assert type(found.model.policy).__name__ == "ActorCriticCnnPolicy"
    assert "flattened" not in caplog.text
    build(Run(make_config(environment={"id": "tasks:Picture-v0", "kwargs": {"side": 20}}), index=0, seed=0))
    assert "images of 20x40 are too small" in caplog.text


def test_images_are_refused_by_what_has_no_convolutional_network() -> None:
    images = {"environment": {"id": "tasks:Steering-v0"}, "algorithm": {"crossq": {}}}
    others = "ppo, a2c, sac, td3, tqc or recurrentPPO"
    with pytest.raises(BadConfiguration, match=f"crossq has no convolutional network.* use {others}"):
        build(Run(make_config(**images), index=0, seed=0))
    small = {"id": "tasks:Steering-v0", "kwargs": {"side": 20}}
    build(Run(make_config(**images | {"environment": small}), index=0, seed=0))


@pytest.mark.parametrize("task", ["CartPole-v1", "Acrobot-v1", "Pendulum-v1", "LunarLander-v3", "BipedalWalker-v3"])
def test_the_image_has_what_the_usual_tasks_need(task: str) -> None:
    environment = maker(EnvironmentSpec(id=task))()
    assert environment.reset(seed=1)[0].shape == environment.observation_space.shape


def test_an_unknown_id_is_answered_with_a_command_that_lists_the_known_ones() -> None:
    with pytest.raises(BadConfiguration) as caught:
        maker(EnvironmentSpec(id="CartPol-v1"))()
    command = re.search(r"`(python3 .*?)`", str(caught.value))
    assert command is not None
    listed = subprocess.run(shlex.split(command[1]), check=True, capture_output=True, text=True)
    assert "CartPole-v1" in listed.stdout


def _beat(step: int) -> RunProgress:
    return RunProgress(job="j", uid="u", index=0, seed=0, step=step, total=1000)


def test_heartbeats_reach_the_logbook(logbook: LogbookServer) -> None:
    with httpx.Client(base_url=logbook.url, trust_env=False) as client:
        heart = Heartbeat(client, "demo")
        heart.tell(_beat(10))
        heart.tell(_beat(20))
        heart.close()
        (item,) = client.get("/v1/progress").json()["items"]
    assert item["step"] == 20
    assert datetime.fromisoformat(item["at"]) <= datetime.now(UTC)


def test_a_lost_logbook_costs_no_time_and_bounded_memory(logbook: LogbookServer) -> None:
    logbook.stop()
    with httpx.Client(base_url=logbook.url, trust_env=False) as client:
        heart = Heartbeat(client, "demo")
        began = time.monotonic()
        for step in range(10 * KEPT):
            heart.tell(_beat(step))
        assert time.monotonic() - began < 1
        assert len(heart._queue) == KEPT
        logbook.start()
        until(lambda: client.get("/v1/progress").json()["items"], 60)
        heart.close()


def test_what_a_pod_waits_for_goes_with_its_heartbeats(logbook: LogbookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first and after the last one as well, when nobody else has anything to tell."""
    monkeypatch.setattr(heartbeat, "PERIOD_S", 0.05)
    waits = Waits()
    with httpx.Client(base_url=logbook.url, trust_env=False) as client:

        def told(step: int, words: str | None) -> bool:
            items = client.get("/v1/progress").json()["items"]
            return bool(items) and (items[0]["step"], items[0].get("obstacle")) == (step, words)

        heart = Heartbeat(client, "demo", waits=waits, waiting=_beat(0))
        waits.tell("list", "the seed waits", "no answer")
        until(lambda: told(0, "the seed waits: no answer"), 10)
        waits.end("list")
        heart.tell(_beat(10))
        until(lambda: told(10, None), 10)
        waits.tell("artifact", "the artifact waits", StoreUnavailable("disk full, file 1."))
        waits.tell("artifact", "the artifact waits", StoreUnavailable("disk full, file 2."))
        until(lambda: told(10, "the artifact waits: disk full, file 1"), 10)
        waits.end("artifact")
        until(lambda: told(10, None), 10)
        heart.close()


def test_no_two_modules_of_tests_register_one_task() -> None:
    """Which one was meant would hang on which a worker met first: pyproject.toml makes the warning an error."""
    modules = [path for path in sorted(Path(__file__).parent.glob("*.py")) if not path.name.startswith("test_")]
    registering = [path.stem for path in modules if "gymnasium.register(" in path.read_text()]
    assert {"tasks", "offline_worlds"} <= set(registering)
    for name in registering:
        import_module(name)
