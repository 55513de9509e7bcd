"""A search before the seeds, with an operator that may die between any two effects and pods that are soon gone."""

import json
from typing import Any

import pytest
from tests.unit.training.given import NAME, SEARCH, pod, report, training_job
from tests.world import START, World, key_of

from belay_operator.training.observe import KIND

SPEC = {"seeds": {"count": 1}, "publish": {"family": NAME}, "search": {"trials": 4, "parallelism": 1}}
ENDED = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-05-04T09:59:59Z"}
SETTINGS = {"learning_rate": 0.0003, "net_arch": [64, 64]}


def found(number: int) -> dict[str, Any]:
    """What a worker says once four trials are over, of which trial `number` was best."""
    best = {"trial": number, "value": 480.5, "settings": {**SETTINGS, "gamma": number / 10}}
    return {"outcome": "Succeeded", "index": 0, "seed": 1000, "search": {"trials": 4, "finished": 4, "best": best}}


@pytest.mark.parametrize("effects", [0, 1, 2, 3, 4, 5, None])
@pytest.mark.parametrize("reaped", [False, True], ids=["pods stay", "pods are gone"])
def test_seeds_train_once_and_with_what_was_recorded(effects: int | None, reaped: bool) -> None:
    world = World([training_job(SPEC)])
    key = key_of(world.objects["RLTrainingJob", "default", NAME])

    def look() -> None:
        world.reconcile(KIND, key, now=START, effects=effects)  # dies after so many effects
        world.settle(KIND, key, now=START)  # the next process

    look()
    assert ("Job", "default", f"{NAME}-a1") not in world.objects, "seeds wait for their settings"
    owner = world.objects["Job", "default", SEARCH]["metadata"]["uid"]
    world.put(pod(0, job=SEARCH, owner=owner))
    look()
    world.put(pod(0, "Succeeded", job=SEARCH, owner=owner, report=found(1)))
    world.patch("Job", SEARCH, {"status": {"completedIndexes": "0", "conditions": [ENDED]}})
    look()
    if reaped:
        world.remove("Pod", f"{SEARCH}-0-0")
        world.remove("Job", SEARCH)
    else:  # a later word changes nothing: seeds may train already
        world.put(pod(0, "Succeeded", job=SEARCH, owner=owner, report=found(2)))
    look()

    status = world.objects["RLTrainingJob", "default", NAME]["status"]
    assert status["search"]["best"]["settings"] == {**SETTINGS, "gamma": 0.1}
    read = json.loads(world.objects["ConfigMap", "default", f"{NAME}-a1-uid-cart"]["data"]["job.json"])
    assert read["spec"]["algorithm"] == {"ppo": status["search"]["best"]["settings"]}
    assert "search" not in read["spec"]
    assert [line for line in world.log if line.startswith("apply Job")] == [
        f"apply Job {SEARCH}",
        f"apply Job {NAME}-a1",
    ]

    seeds = world.objects["Job", "default", f"{NAME}-a1"]["metadata"]["uid"]
    world.put(pod(0, "Succeeded", owner=seeds, report=report(0, 400.0)))
    world.patch("Job", f"{NAME}-a1", {"status": {"completedIndexes": "0", "conditions": [ENDED]}})
    look()
    status = world.objects["RLTrainingJob", "default", NAME]["status"]
    policy = world.objects["RLPolicy", "default", status["publishedPolicy"]]
    assert status["aggregate"]["best"]["return"] == 400.0, "not what chose the settings"
    assert policy["spec"]["lineage"]["configHash"] == read["configHash"], "of what its seeds read"


def test_scaling_changes_how_many_work_at_once_and_nobody_elses_place() -> None:
    world = World([training_job({"seeds": {"count": 5, "parallelism": 2}, "search": {"trials": 30}})])
    key = key_of(world.objects["RLTrainingJob", "default", NAME])
    for at_once in (2, 4, 1):
        world.patch("RLTrainingJob", NAME, {"spec": {"seeds": {"parallelism": at_once}}})
        world.settle(KIND, key, now=START)
        job = world.objects["Job", "default", SEARCH]["spec"]
        assert (job["completions"], job["parallelism"]) == (5, at_once)


def test_a_search_job_that_was_deleted_by_hand_comes_back() -> None:
    world = World([training_job(SPEC)])
    key = key_of(world.objects["RLTrainingJob", "default", NAME])
    world.settle(KIND, key, now=START)
    world.put(pod(0, job=SEARCH, owner=world.objects["Job", "default", SEARCH]["metadata"]["uid"]))
    world.settle(KIND, key, now=START)
    world.remove("Pod", f"{SEARCH}-0-0")
    world.remove("Job", SEARCH)
    world.settle(KIND, key, now=START)
    assert world.log.count(f"apply Job {SEARCH}") == 2, "its workers go on with the journal"
