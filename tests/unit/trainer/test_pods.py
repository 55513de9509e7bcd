"""Training pods as real processes: killed, stopped, refused, cut off from their store, and still telling the truth."""

import json
import random
import signal
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from trainer_configs import make_config
from trainer_support import LogbookServer, Pod, Pods, until

from belay_api.artifact import verify
from belay_api.training import TrainingReport

SHORT = {  # the others: tests/long/trainer
    "ppo": {"budget": {"steps": 8_000}, "algorithm": {"ppo": {}}},
    "sac": {
        "environment": {"id": "Pendulum-v1"},
        "budget": {"steps": 2_000},
        "algorithm": {"sac": {"net_arch": [32, 32], "batch_size": 64}},
        "checkpoint": {"every": 400},
        "evaluation": {"every": 1_000, "episodes": 2},
    },
}

SHORTEST = {"budget": {"steps": 512}, "evaluation": {"every": 512, "episodes": 2}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TrainingReport]:
    """The report of a run that nobody disturbed; each algorithm's is made once."""

    @cache
    def report(algorithm: str) -> TrainingReport:
        pod = Pods(tmp_path_factory.mktemp(algorithm)).run(make_config(**SHORT[algorithm]))
        assert pod.wait() == 0, pod.log
        return pod.report

    return report


@pytest.mark.parametrize("algorithm", SHORT)
def test_a_pod_killed_twice_ends_with_the_weights_of_one_that_was_not(
    pods: Pods, undisturbed: Callable[[str], TrainingReport], algorithm: str
) -> None:
    config, wanted = make_config(**SHORT[algorithm]), undisturbed(algorithm)
    steps = []
    for number in (1, 2):
        pod = pods.start(config)
        until(partial(_ended_or_beyond, pod, pods, max(steps, default=0)))
        time.sleep(random.random() * 0.4)  # an arbitrary place between two checkpoints
        pod.signal(signal.SIGKILL)
        assert pod.wait() == -signal.SIGKILL, f"life {number} ended before it was killed: {pod.log}"
        steps.append(max(_step(path) for path in pods.stored()))
    survivor = pods.run(config)

    assert survivor.wait() == 0, survivor.log
    assert survivor.report.resumed_from == steps[-1] >= 800
    assert survivor.report.weights_sha256 == wanted.weights_sha256
    assert (survivor.report.return_, survivor.report.best_step) == (wanted.return_, wanted.best_step)
    assert survivor.report.artifact.digest == wanted.artifact.digest


def test_a_torn_checkpoint_is_skipped_for_the_one_before(pods: Pods) -> None:
    config = make_config(budget={"steps": 6000})
    pod = pods.start(config)
    until(lambda: len(pods.stored()) == 2)
    pod.signal(signal.SIGKILL)
    pod.wait()
    older, newest = pods.stored()[-2:]
    newest.write_bytes(newest.read_bytes()[:-100])

    resumed = pods.run(config)

    assert resumed.wait() == 0, resumed.log
    assert resumed.report.resumed_from == _step(older)
    assert "torn" in resumed.log


def test_a_pod_asked_to_stop_saves_where_it_stands(pods: Pods) -> None:
    config = make_config(budget={"steps": 1_000_000}, checkpoint={"every": 500_000})
    pod = pods.start(config)
    until(lambda: "training cartpole" in pod.log)
    time.sleep(1)

    pod.signal(signal.SIGTERM)
    code = pod.wait(60)

    assert (code, pod.report.outcome) == (143, "Interrupted"), pod.log
    (saved,) = pods.stored()
    assert 0 < _step(saved) < 500_000
    following = pods.start(config)
    until(lambda: f"from timestep {_step(saved)}" in following.log)


def test_a_stopped_pod_repeats_nothing_and_loses_nothing(
    pods: Pods, undisturbed: Callable[[str], TrainingReport]
) -> None:
    config = make_config(**SHORT["ppo"])
    pod = pods.start(config)
    until(pods.stored)
    pod.signal(signal.SIGTERM)
    assert pod.wait(60) == 143

    resumed = pods.run(config)

    assert resumed.wait() == 0, resumed.log
    assert resumed.report.weights_sha256 == undisturbed("ppo").weights_sha256


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown id": ({"environment": {"id": "CartPol-v1"}}, "CartPol-v1"),
    "unknown module": ({"environment": {"id": "no_such_package:Task-v0"}}, "no_such_package"),
    "unknown keyword": ({"environment": {"id": "CartPole-v1", "kwargs": {"gravity": 3}}}, "gravity"),
    "space that cannot be served": ({"environment": {"id": "tasks:Odd-v0"}}, "Dict"),
    "dqn on continuous actions": (
        {"environment": {"id": "Pendulum-v1"}, "algorithm": {"dqn": {}}},
        "use ppo, a2c, sac, td3, tqc, crossq or recurrentPPO",
    ),
    "sac on discrete actions": ({"algorithm": {"sac": {}}}, "use ppo, a2c, dqn, qrdqn, maskablePPO or recurrentPPO"),
    "a scale for what has one": (
        {"environment": {"id": "tasks:Picture-v0"}, "normalize": {"observation": True}},
        "normalize.observation",
    ),
    "reset of the old API": ({"environment": {"id": "tasks:OldReset-v0"}}, "reset"),
    "step of the old API": ({"environment": {"id": "tasks:OldStep-v0"}}, "step"),
    "a step that fails": ({"environment": {"id": "tasks:Unfinished-v0"}}, "torque_limit"),
    "statistics inside": ({"environment": {"id": "tasks:Normalised-v0"}}, "NormalizeObservation"),
    "no store": ({"storage": {}}, "storage"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_configuration_fails_the_job_with_a_sentence(pods: Pods, case: str) -> None:
    spec, word = REFUSED[case]
    pod = pods.run(make_config(**spec))
    assert pod.wait() == 3, pod.log
    assert pod.report.outcome == "BadConfiguration"
    assert word in pod.report.message


def test_an_index_beyond_the_seeds_is_bad_configuration(pods: Pods) -> None:
    pod = pods.run(make_config(seeds={"count": 2}), index="2")
    assert (pod.wait(), pod.report.outcome) == (3, "BadConfiguration")


@pytest.mark.parametrize("task", ["Overflowing", "Blind"])
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_what_is_no_longer_a_number_fails_the_seed(pods: Pods, task: str, algorithm: str) -> None:
    pod = pods.run(make_config(environment={"id": f"tasks:{task}-v0"}, algorithm={algorithm: {}}))
    assert (pod.wait(), pod.report.outcome) == (4, "Diverged"), pod.log


def test_the_same_training_publishes_the_same_bytes_whenever_and_by_whatever_job_it_runs(tmp_path: Path) -> None:
    digests = set()
    patient = make_config(**SHORTEST, failure={"retriesPerSeed": 7}, checkpoint={"keep": 5})
    for name, config in (("first", make_config(**SHORTEST)), ("second", patient)):
        (tmp_path / name).mkdir()
        pod = Pods(tmp_path / name).run(config.model_copy(update={"job": name, "uid": name, "namespace": name}))
        assert pod.wait() == 0, pod.log
        digests.add(pod.report.artifact and pod.report.artifact.digest)
    assert len(digests) == 1


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_seed_that_has_reached_its_target_ends_and_publishes(pods: Pods, algorithm: str) -> None:
    pod = pods.run(
        make_config(
            environment={"id": "tasks:Countdown-v0"},
            algorithm={algorithm: {}},
            budget={"steps": 1_000_000},
            evaluation={"every": 1000, "episodes": 7, "finalEpisodes": 7, "target": 3.5},
        )
    )
    assert (pod.wait(), pod.report.outcome) == (0, "Succeeded"), pod.log
    assert "evaluation.target" in pod.report.message
    assert pod.report.step < 100_000
    assert pod.report.return_ >= 3.5


def test_a_seed_that_gets_no_better_ends_after_its_patience(pods: Pods) -> None:
    flat = {"id": "tasks:Countdown-v0", "kwargs": {"pays": 0.0}}
    often = {"every": 256, "episodes": 2, "finalEpisodes": 2, "patience": 3}
    pod = pods.run(make_config(environment=flat, algorithm={"ppo": {"n_steps": 32}}, evaluation=often))
    assert (pod.wait(), pod.report.outcome) == (0, "Succeeded"), pod.log
    assert "evaluation.patience" in pod.report.message
    assert pod.report.step == 4 * 256, "the first evaluation is the best, and three were no better"


def test_a_seed_that_comes_to_nothing_is_given_up(pods: Pods) -> None:
    hopeless = {"every": 500, "episodes": 7, "stopLoss": {"after": 1000, "return": 1000}}
    pod = pods.run(make_config(environment={"id": "tasks:Countdown-v0"}, evaluation=hopeless))
    assert (pod.wait(), pod.report.outcome) == (4, "GivenUp"), pod.log
    assert "evaluation.stopLoss wants 1000" in pod.report.message


def test_a_pod_that_stands_still_says_where_and_ends(pods: Pods) -> None:
    pod = pods.run(make_config(environment={"id": "tasks:Stuck-v0"}, failure={"stallTimeout": "10s"}))
    assert (pod.wait(60), pod.report.outcome) == (1, "Error"), pod.log
    assert "failure.stallTimeout" in pod.report.message
    assert "tasks.py" in pod.log, "the whole stack is in the log"


def test_a_pod_whose_environment_holds_the_interpreter_ends_as_well(pods: Pods) -> None:
    stuck = {"id": "tasks:Stuck-v0", "kwargs": {"holds_interpreter": True}}
    pod = pods.run(make_config(environment=stuck, failure={"stallTimeout": "5s"}))
    assert pod.wait(60) == 1, pod.log
    assert "in step" in pod.log


def test_a_policy_from_before_the_divergence_is_published(pods: Pods) -> None:
    often = {"ppo": {"n_steps": 32, "batch_size": 256}}
    pod = pods.run(
        make_config(environment={"id": "tasks:Cliff-v0"}, algorithm=often, evaluation={"every": 256, "episodes": 7})
    )
    assert (pod.wait(), pod.report.outcome) == (0, "Succeeded"), pod.log
    assert "paid a reward of inf" in pod.report.message
    assert pod.report.artifact is not None
    assert pod.report.best_step is not None


def test_the_built_in_store_gets_artifact_checkpoints_and_progress(pods: Pods, logbook: LogbookServer) -> None:
    config = make_config(storage={}, seeds={"count": 3, "first": 5})
    pod = pods.run(config, index="2", logbook=logbook.url)

    assert pod.wait() == 0, pod.log
    assert "HTTP Request" not in pod.log, "a line per heartbeat drowns the lines that say something"
    report = pod.report
    assert report.seed == 7
    assert report.artifact is not None
    assert report.artifact.uri == "store://sha256/" + report.artifact.digest.removeprefix("sha256:")
    with httpx.Client(base_url=f"{logbook.url}/v1", trust_env=False) as client:
        folder = pod.work / "fetched"
        folder.mkdir()
        blobs = f"/namespaces/{config.namespace}/blobs/"
        manifest = client.get(blobs + report.artifact.digest.removeprefix("sha256:")).raise_for_status().content
        (folder / "manifest.json").write_bytes(manifest)
        for entry in json.loads(manifest)["files"]:
            (folder / entry["path"]).write_bytes(client.get(blobs + entry["sha256"]).raise_for_status().content)
        assert verify(folder, wanted=report.artifact.digest).lineage.seed == 7
        (beat,) = client.get("/progress").raise_for_status().json()["items"]
        assert (beat["step"], beat["total"], beat["seed"]) == (3000, 3000, 7)
        curves = client.get(f"/namespaces/{config.namespace}/curves/{config.uid}", params={"metric": "return"})
        (curve,) = curves.raise_for_status().json()["items"]
        assert curve["steps"] == [1024, 2048, 3072], "every evaluation, the last one too"
        assert max(curve["values"]) == report.selection_return
        kept = client.get(f"/namespaces/{config.namespace}/checkpoints/{config.uid}/2").json()["items"]
        assert [item["step"] for item in kept] == [3072, 2048], "the last one is of the end"


def test_a_lost_logbook_never_stops_training_and_success_waits_for_it(pods: Pods, logbook: LogbookServer) -> None:
    pod = pods.start(make_config(storage={}, budget={"steps": 6000}), logbook=logbook.url)
    until(lambda: "training cartpole" in pod.log)
    logbook.stop()

    until(lambda: "the artifact waits for the store" in pod.log)  # trained to the end, and not yet a success
    assert pod.process.poll() is None
    logbook.start()

    assert pod.wait() == 0, pod.log
    assert pod.report.artifact is not None


def _ended_or_beyond(pod: Pod, pods: Pods, step: int) -> bool:
    return pod.process.poll() is not None or any(_step(path) > step for path in pods.stored())


def _step(path: Path) -> int:
    return int(path.name.split("-")[0])
