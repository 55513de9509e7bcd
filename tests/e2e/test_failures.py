"""Each way in which a training can fail, on real pods: how the attempt is called, what it costs, and in which words.

All jobs are there at once, so that their waits are one wait.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from belay_demo.kube import Namespace, condition

MODULE = Path(__file__).parent / "failing.py"
SMALL: dict[str, Any] = {
    "runtime": {"code": {"configMap": {"name": "failing"}}, "resources": {"requests": {"cpu": "100m"}}},
    "algorithm": {"ppo": {"n_steps": 64, "batch_size": 64}},
    "budget": {"steps": 8192},  # 1,024 of each copy
    "seeds": {"count": 1},
    "evaluation": {"every": 8192, "episodes": 5},
    "checkpoint": {"every": 256},
    "failure": {"retriesPerSeed": 1},
}
JOBS: dict[str, dict[str, Any]] = {
    "explosive": {"environment": {"id": "failing:Explosive-v0"}},
    "broken": {"environment": {"id": "failing:Broken-v0"}},
    "stuck": {"environment": {"id": "failing:Stuck-v0"}, "failure": {"retriesPerSeed": 0, "stallTimeout": "60s"}},
    "hungry": {
        "environment": {"id": "failing:Hungry-v0"},
        "failure": {"retriesPerSeed": 0},
        "runtime": SMALL["runtime"] | {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
    },
    "late": {
        "environment": {"id": "failing:Well-v0", "kwargs": {"slow": 0.05}},
        "budget": {"steps": 100_000, "deadline": "45s"},
    },
    "drained": {
        "environment": {"id": "failing:Well-v0", "kwargs": {"slow": 0.01}},
        "failure": {"retriesPerSeed": 0},
    },
    "no-room": {
        "environment": {"id": "failing:Well-v0"},
        "runtime": SMALL["runtime"] | {"resources": {"requests": {"cpu": "1000"}}},
    },
}


@pytest.fixture(scope="module")
def jobs(here: Namespace) -> Namespace:
    """Return the namespace with all jobs in it."""
    here.kubectl("create", "configmap", "failing", f"--from-file={MODULE}")
    for name, spec in JOBS.items():
        here.apply(
            {
                "apiVersion": "belay.dev/v1alpha1",
                "kind": "RLTrainingJob",
                "metadata": {"name": name},
                "spec": SMALL | spec,
            }
        )
    return here


def failed(jobs: Namespace, name: str) -> dict[str, Any]:
    """Return the status of a job that has failed."""

    def over() -> dict[str, Any] | None:
        found = jobs.get("rltj", name)
        return found["status"] if condition(found, "Stalled").get("status") == "True" else None

    return jobs.wait(f"{name} to fail", over, timeout_s=300)


def stalled(status: dict[str, Any]) -> dict[str, Any]:
    return condition({"status": status}, "Stalled")


def ends(status: dict[str, Any]) -> list[str]:
    """Return how its attempts ended, the first one first."""
    return [attempt["reason"] for attempt in sorted(status["history"], key=lambda attempt: attempt["startedAt"])]


@pytest.mark.timeout(420)
def test_a_seed_that_diverges_is_not_tried_again(jobs: Namespace) -> None:
    status = failed(jobs, "explosive")
    assert stalled(status)["reason"] == "TooFewSeeds"
    assert ends(status) == ["Diverged"], "the same seed diverges again"
    [seed] = status["seeds"]
    assert (seed["phase"], seed["retries"]) == ("Failed", 0)
    assert "inf" in seed["message"]


@pytest.mark.timeout(420)
def test_an_error_of_the_task_is_told_in_its_own_words_after_the_retries(jobs: Namespace) -> None:
    status = failed(jobs, "broken")
    assert stalled(status)["reason"] == "TooFewSeeds"
    assert ends(status) == ["Failed", "Failed"]
    [seed] = status["seeds"]
    assert (seed["phase"], seed["retries"]) == ("Failed", 1)
    assert "the simulator's licence has expired" in seed["message"]


@pytest.mark.timeout(420)
def test_a_task_that_stands_still_is_ended_and_the_place_named(jobs: Namespace) -> None:
    status = failed(jobs, "stuck")
    assert ends(status) == ["Failed"]
    [seed] = status["seeds"]
    assert "failure.stallTimeout" in seed["message"]
    assert "failing.py" in seed["message"]


@pytest.mark.timeout(420)
def test_a_pod_beyond_its_memory_is_called_so(jobs: Namespace) -> None:
    status = failed(jobs, "hungry")
    assert ends(status) == ["OutOfMemory"]


@pytest.mark.timeout(420)
def test_a_job_beyond_its_deadline_says_so_and_leaves_no_pod(jobs: Namespace) -> None:
    status = failed(jobs, "late")
    assert stalled(status)["reason"] == "DeadlineExceeded"
    jobs.wait("its pods to go", lambda: not running(jobs, "late"), timeout_s=90)


@pytest.mark.timeout(420)
def test_a_disruption_costs_no_retry(jobs: Namespace) -> None:
    [pod] = jobs.wait("its pod to run", lambda: running(jobs, "drained"), timeout_s=180)
    evict(jobs, pod["metadata"]["name"])

    def succeeded() -> dict[str, Any] | None:
        status = jobs.status("rltj", "drained")
        return status if status.get("phase") == "Succeeded" else None

    status = jobs.wait("the job to succeed", succeeded, timeout_s=300)
    assert ends(status) == ["Disrupted", "Succeeded"]
    [seed] = status["seeds"]
    assert seed["retries"] == 0


@pytest.mark.timeout(420)
def test_no_room_is_waiting(jobs: Namespace) -> None:
    def told() -> dict[str, Any] | None:
        ready = condition(jobs.get("rltj", "no-room"), "Ready")
        return ready if ready.get("reason") == "Unschedulable" else None

    assert "cpu" in jobs.wait("the condition", told, timeout_s=120)["message"]
    status = jobs.status("rltj", "no-room")
    assert stalled(status).get("status") != "True"
    assert not status.get("history")


def running(jobs: Namespace, name: str) -> list[dict[str, Any]]:
    """Return the pods of a job that run."""
    pods = jobs.items("pods", f"belay.dev/training-job={name}")
    return [pod for pod in pods if pod["status"]["phase"] == "Running"]


def evict(here: Namespace, pod: str) -> None:
    """Ask for a pod's eviction, as `kubectl drain` does."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": here.name}}
    path = f"/api/v1/namespaces/{here.name}/pods/{pod}/eviction"
    here.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
