"""Gates of a training: run on what is published, told in the report, kept beside the artifact, and asked for early."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linear_policies import TWO, artifact
from trainer_configs import NAMESPACE, make_config
from trainer_support import ENVIRONMENT, LogbookServer, Pods

from belay_api.artifact import MANIFEST, file_sha256, verify
from belay_api.policy import BaselinePolicy
from belay_api.reasons import Verdict
from belay_api.training import TrainingReport
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration
from belay_trainer.logbook import connect
from belay_trainer.report import LIMIT, encode
from belay_trainer.store.logbook import LogbookStore
from belay_trainer.train import build

SHORT: dict[str, Any] = {
    "environment": {"id": "tasks:Countdown-v0"},
    "algorithm": {"ppo": {"n_steps": 32}},
    "budget": {"steps": 64},
    "evaluation": {"every": 64, "episodes": 2, "finalEpisodes": 4},
    "checkpoint": {"every": 64},
}
TOO_MUCH = {"performance": {"minReturn": 7.5, "episodes": 10}}  # an episode has at most 7 timesteps, each pays 1
ENOUGH = {"performance": {"minReturn": -1.0, "episodes": 10}}
LATENCY = {"latency": {"p99": "10s"}}


def files_at(volume: Path, uri: str | None) -> Path:
    assert uri is not None
    assert uri.startswith("pvc://policies/")
    return volume / uri.removeprefix("pvc://policies/")


def test_a_seed_that_misses_a_gate_says_which_and_leaves_artifact_and_report(pods: Pods) -> None:
    config = make_config(**SHORT, gates=[ENOUGH, TOO_MUCH, LATENCY])
    pod = pods.run(config)
    report = pod.report
    assert (pod.process.returncode, report.outcome) == (0, "Succeeded"), pod.log
    assert report.validation is not None
    assert (report.validation.passed, report.validation.gates) == (False, 3)
    failure = report.validation.failure
    assert failure is not None
    assert (failure.gate, failure.verdict, failure.limit) == ("performance[1]", Verdict.FAIL, 7.5)
    assert failure.measured is not None
    assert failure.measured <= 7
    assert report.artifact is not None
    verify(files_at(pods.volume, report.artifact.uri), wanted=report.artifact.digest)
    told = json.loads(files_at(pods.volume, report.validation.facts).read_bytes())
    assert [one["verdict"] for one in told["gates"]] == ["Pass", "Fail", "Pass"]
    assert told["policy"]["digest"] == report.artifact.digest
    assert told["firstSeed"] == 1_040_000
    page = files_at(pods.volume, report.validation.report).read_text()
    assert "data:image/png;base64," in page, "a page that is kept alone has its picture inside"

    again = pods.run(config).report  # there is no checkpoint: it trains, publishes and validates once more
    assert again.artifact == report.artifact, "what differs in its times is no part of the artifact"
    assert again.validation is not None
    assert again.validation.facts != report.validation.facts


BETTER = {"gates": [{"performance": {"betterThan": "before", "episodes": 20}}]}
LEARNS = SHORT | {"algorithm": {"ppo": {"n_steps": 32, "learning_rate": 0.01}}, "budget": {"steps": 1024}}
LEARNS |= {"evaluation": {"every": 1024, "episodes": 2, "finalEpisodes": 4}}


def before(logbook: LogbookServer, folder: Path, *, action: int) -> BaselinePolicy:
    """Return a policy in the built-in store that always takes one action."""
    made = artifact(folder, [[0.0, 0.0]] * 2, output="logits", action=TWO, bias=(1.0 - action, float(action)))
    digest = "sha256:" + file_sha256(made / MANIFEST)
    store = LogbookStore(connect(logbook.url, folder / "no-token"), namespace=NAMESPACE, seed="x")
    return BaselinePolicy(policy="before", uri=store.publish(made, verify(made, wanted=digest)), digest=digest)


@pytest.mark.parametrize(("sign", "verdict"), [(1.0, Verdict.PASS), (-1.0, Verdict.FAIL)])
def test_a_pod_holds_what_it_trained_to_more_than_a_policy_of_the_store_returns(
    pods: Pods, logbook: LogbookServer, tmp_path: Path, sign: float, verdict: Verdict
) -> None:
    """Of an episode of seed s, action 1 returns s % 7 + 1 and action 0 returns 0, so that every pair is known.

    Somebody got the sign of the reward that is learned from wrong: the policy before was better.
    """
    task = {"environment": {"id": "tasks:Countdown-v0", "reward": {"components": {"reward": sign}}}}
    action = 0 if verdict is Verdict.PASS else 1
    pinned = {"baseline": before(logbook, tmp_path / "before", action=action)}
    pod = pods.run(make_config(**LEARNS | task | BETTER).model_copy(update=pinned), logbook=logbook.url)
    assert (pod.process.returncode, pod.report.outcome) == (0, "Succeeded"), pod.log
    assert pod.report.validation is not None
    assert pod.report.validation.passed is (verdict is Verdict.PASS)
    told = json.loads(files_at(pods.volume, pod.report.validation.facts).read_bytes())
    [gate] = told["gates"]
    [measured] = gate["measurements"]
    returns = {True: [(told["firstSeed"] + number) % 7 + 1 for number in range(measured["episodes"])]}
    returns[False] = [0] * measured["episodes"]
    assert gate["returns"] == {"the policy": returns[action == 0], "RLPolicy before": returns[action == 1]}
    difference = np.subtract(gate["returns"]["the policy"], gate["returns"]["RLPolicy before"])
    assert (measured["verdict"], measured["limit"]) == (verdict, 0)
    assert measured["value"] == pytest.approx(difference.mean())
    side = measured["low"] if verdict is Verdict.PASS else -measured["high"]
    assert 0 < side < abs(measured["value"])


def test_a_pod_without_the_policy_that_its_gates_name_trains_nothing(pods: Pods, logbook: LogbookServer) -> None:
    config = make_config(**LEARNS, **BETTER)
    nowhere = BaselinePolicy(policy="before", uri=f"store://sha256/{'0' * 64}", digest=f"sha256:{'0' * 64}")
    for pinned, words in ((None, "RLPolicy before is not at hand here"), (nowhere, "is not where it should be")):
        pod = pods.run(config.model_copy(update={"baseline": pinned}), logbook=logbook.url)
        assert (pod.process.returncode, pod.report.outcome) == (3, "BadConfiguration"), pod.log
        assert "gates: performance: betterThan" in str(pod.report.message)
        assert words in str(pod.report.message)
        assert not pods.stored()


def test_a_run_on_a_laptop_ends_with_an_exit_code_of_its_own_where_no_seed_passed(tmp_path: Path) -> None:
    job = {"apiVersion": "belay.dev/v1alpha1", "kind": "RLTrainingJob", "metadata": {"name": "countdown"}}
    (tmp_path / "job.yaml").write_text(json.dumps({**job, "spec": {**SHORT, "gates": [TOO_MUCH]}}))
    command = [sys.executable, "-m", "belay_trainer", "run", "--config", "job.yaml"]
    ended = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, text=True, capture_output=True, check=False)
    assert ended.returncode == 6, ended.stderr
    assert "no result" in ended.stdout
    assert "Seed 0 did not pass performance (Fail): return: " in ended.stdout
    assert not (tmp_path / "runs/countdown/report/policy.yaml").exists()
    told = json.loads((tmp_path / "runs/countdown/report/report.json").read_bytes())
    assert Path(tmp_path, told["seeds"][0]["validation"]["report"]).is_file()


def test_without_gates_nothing_is_validated() -> None:
    assert make_config().spec.gates is None
    assert "gates" not in make_config().said()["spec"]


def test_a_gate_that_cannot_be_measured_is_told_before_the_first_timestep() -> None:
    gate = {"dynamics": {"shifts": [{"name": "rich", "kwargs": {"pay": 2.0}}], "maxDrop": "10%"}}
    run = Run(make_config(**SHORT, gates=[gate]), index=0, seed=0)
    with pytest.raises(BadConfiguration, match="gates: dynamics: rich: .*'pay'"):
        build(run)


def test_a_cost_that_the_environment_does_not_tell_is_told_before_the_first_timestep() -> None:
    gates = [{"constraints": {"costs": ["cost", "weer"], "maxRate": "5%"}}]
    config = make_config(**{**SHORT, "environment": {"id": "layered_tasks:Heater-v0"}}, gates=gates)
    with pytest.raises(BadConfiguration, match=r"gates: constraints: costs\[1\]: .* no 'weer' .*did you mean 'wear'"):
        build(Run(config, index=0, seed=0))


def test_the_longest_validation_fits_into_a_report() -> None:
    failure = {"gate": "g" * 63, "verdict": "Fail", "measured": 1.2e-300, "limit": -1.2e300, "message": "ü" * 300}
    validation = {"passed": False, "gates": 16, "failure": failure, "report": "store://sha256/" + "0" * 64}
    report = TrainingReport.model_validate(
        {"outcome": "Succeeded", "index": 1, "seed": 1, "message": "x" * 5000, "validation": validation}
    )
    content = encode(report)
    assert len(content) <= LIMIT
    assert TrainingReport.model_validate_json(content).validation == report.validation
