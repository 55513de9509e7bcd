"""What `spec.runtime` adds to a pod, beside what every pod of a training has."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.training.given import NAME, training_job
from tests.world import SETTINGS, World

from belay_api.pod_volumes import OWN_PATHS
from belay_api.runtime import RuntimeSpec
from belay_api.training import RLTrainingJobSpec
from belay_operator import runtime
from belay_operator.training import build
from belay_operator.training.observe import observe

Json = dict[str, Any]


def job_spec(spec: Json) -> RLTrainingJobSpec:
    return RLTrainingJobSpec.model_validate(training_job(spec)["spec"])


def store_of(spec: RLTrainingJobSpec) -> str | None:
    return None if spec.storage.pvc is None else spec.storage.pvc.claim


MOUNTED: dict[str, tuple[Json, list[Json], list[Json]]] = {
    "nothing": ({}, [], []),
    "files of a ConfigMap": (
        {"code": {"configMap": {"name": "my-task"}}},
        [{"name": "code", "configMap": {"name": "my-task"}}],
        [{"name": "code", "mountPath": "/code", "readOnly": True}],
    ),
    "a folder of a claim": (
        {"code": {"pvc": {"claim": "work", "path": "src"}}},
        [{"name": "code", "persistentVolumeClaim": {"claimName": "work", "readOnly": True}}],
        [{"name": "code", "mountPath": "/code", "readOnly": True}],
    ),
    "a public repository": ({"code": {"git": {"url": "https://git.example.com/a", "revision": "v1"}}}, [], []),
    "a private repository": (
        {"code": {"git": {"url": "https://git.example.com/a", "revision": "v1", "credentials": "deploy"}}},
        [{"name": "git", "secret": {"secretName": "deploy", "defaultMode": 0o440}}],
        [{"name": "git", "mountPath": "/etc/belay-git", "readOnly": True}],
    ),
}


@pytest.mark.parametrize("case", MOUNTED)
def test_code_is_mounted_read_only(case: str) -> None:
    spec, volumes, mounts = MOUNTED[case]
    asked = job_spec({"runtime": spec})
    assert runtime.volumes(asked.runtime, store=store_of(asked)) == volumes
    assert runtime.mounts(asked.runtime, store=store_of(asked)) == mounts


def test_a_claim_is_one_volume_however_often_it_is_mounted() -> None:
    """A kubelet mounts a claim once for a pod: of two volumes one would be mounted as the other asks."""
    asked = job_spec(
        {
            "storage": {"pvc": {"claim": "shared"}},
            "runtime": {
                "code": {"pvc": {"claim": "shared", "path": "src"}},
                "data": [
                    {"name": "mine", "claim": "shared", "path": "recordings"},
                    {"name": "may", "claim": "theirs", "path": "2026/05"},
                    {"name": "june", "claim": "theirs", "path": "2026/06"},
                ],
            },
        }
    )
    assert runtime.volumes(asked.runtime, store=store_of(asked)) == [
        {"name": "store", "persistentVolumeClaim": {"claimName": "shared"}},
        {"name": "data-may", "persistentVolumeClaim": {"claimName": "theirs", "readOnly": True}},
    ]
    assert runtime.mounts(asked.runtime, store=store_of(asked)) == [
        {"name": "store", "mountPath": "/code", "readOnly": True},
        {"name": "store", "mountPath": "/data/mine", "readOnly": True, "subPath": "recordings"},
        {"name": "data-may", "mountPath": "/data/may", "readOnly": True, "subPath": "2026/05"},
        {"name": "data-may", "mountPath": "/data/june", "readOnly": True, "subPath": "2026/06"},
        {"name": "store", "mountPath": "/store"},
    ]


INDEXES: dict[str, tuple[Json, str | None, list[Json]]] = {
    "nobody names one": ({"packages": ["a==1"]}, None, []),
    "the installation names one": (
        {"packages": ["a==1"]},
        "https://all.example.com",
        [{"name": "PIP_INDEX_URL", "value": "https://all.example.com"}],
    ),
    "the job names another": (
        {"packages": ["a==1"], "packageIndex": "https://mine.example.com"},
        "https://all.example.com",
        [{"name": "PIP_INDEX_URL", "value": "https://mine.example.com"}],
    ),
    "the job has one with a password": (
        {"packages": ["a==1"], "env": [{"name": "PIP_INDEX_URL", "value": "https://me:pw@mine.example.com"}]},
        "https://all.example.com",
        [{"name": "PIP_INDEX_URL", "value": "https://me:pw@mine.example.com"}],
    ),
    "nothing is installed": ({}, "https://all.example.com", []),
}


@pytest.mark.parametrize("case", INDEXES)
def test_the_index_is_the_jobs_own_or_else_the_installations(case: str) -> None:
    spec, installed, wanted = INDEXES[case]
    assert runtime.env(RuntimeSpec.model_validate(spec), replace(SETTINGS, package_index=installed)) == wanted


def test_what_a_user_may_add_takes_no_place_of_ours() -> None:
    """Names of our volumes and variables are free to the user's volumes, or refused; no path of ours is open."""
    ours = ("config", "token", "key", "work", "tmp", "store", "code", "git", "shm", "data-driving")
    spec: Json = {
        "storage": {"pvc": {"claim": "policies"}},
        "runtime": {
            "code": {"git": {"url": "https://git.example.com/a", "revision": "v1", "credentials": "deploy"}},
            "data": [{"name": "driving", "claim": "recordings"}],
            "shm": "1Gi",
            "volumes": [{"name": name, "emptyDir": {}} for name in ours],
            "volumeMounts": [{"name": name, "mountPath": f"/mnt/{name}"} for name in ours],
        },
    }
    world = World([training_job(spec)])
    observed = observe(world.objects["RLTrainingJob", "default", NAME], world, SETTINGS)
    pod = build.pod_template(observed)["spec"]
    [container] = pod["containers"]

    assert len({volume["name"] for volume in pod["volumes"]}) == len(pod["volumes"]) == 2 * len(ours) - 1
    assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
    paths = [mount["mountPath"] for mount in container["volumeMounts"] if not mount["name"].startswith("user-")]
    assert [path for path in paths if not any(path == own or path.startswith(f"{own}/") for own in OWN_PATHS)] == []


def test_pods_stay_restricted_whatever_is_asked_for() -> None:
    asked = {"serviceAccountName": "simulators", "volumes": [{"name": "a", "secret": {"secretName": "b"}}]}
    world = World([training_job({"runtime": asked})])
    pod = build.pod_template(observe(world.objects["RLTrainingJob", "default", NAME], world, SETTINGS))["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
