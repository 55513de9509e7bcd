"""A pod of the trainer's image, whatever it does: its configuration, key and token, and all that a `RuntimeSpec` asks.

Pure. What the pod is for follows from its command and from the file it reads.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from belay_api import names
from belay_api.runtime import RuntimeSpec
from belay_operator import children, job_key, runtime
from belay_operator.engine.plan import Manifest, Settings

CONTAINER = "trainer"
DEFAULT_REQUESTS = {"cpu": "500m", "memory": "512Mi"}
CONFIG_DIR, _, CONFIG_KEY = names.JOB_FILE.rpartition("/")


def trainer_pod(
    owner: children.Owner,
    asked: RuntimeSpec,
    settings: Settings,
    *,
    config: str,
    command: Sequence[str] = (),
    store: str | None = None,
    artifacts: runtime.Artifacts = runtime.NO_ARTIFACTS,
    grace_s: int,
) -> dict[str, Any]:
    """Return the pod's spec.

    Args:
        owner: Whose key it has.
        config: Name of the ConfigMap that it reads.
        command: Of the trainer; empty: it trains.
        store: Claim that is written to; None: the built-in store.
        artifacts: What is read beside it.
        grace_s: Seconds it may take to end.
    """
    container = {
        "name": CONTAINER,
        "image": asked.image or settings.trainer_image,
        "command": ["python3", "-m", "belay_trainer", *command],
        "env": [
            *children.env(
                {
                    names.LOGBOOK_URL_ENV: settings.logbook_url,
                    names.NAMESPACE_ENV: owner.namespace,
                    "HOME": "/tmp",  # libraries write caches below it, and the image's own is read-only
                }
            ),
            *runtime.env(asked, settings),
        ],
        **runtime.env_from(asked),
        "resources": children.resources(asked.resources, DEFAULT_REQUESTS),
        "terminationMessagePolicy": "File",
    }
    mounts = [
        {"name": "work", "mountPath": names.WORK_DIR},
        {"name": "tmp", "mountPath": "/tmp"},
        *runtime.mounts(asked, store=store, artifacts=artifacts),
    ]
    return owned_pod(
        owner,
        settings,
        container,
        config=config,
        volumes=[*children.empty_dirs(["work", "tmp"]), *runtime.volumes(asked, store=store, artifacts=artifacts)],
        mounts=mounts,
        terminationGracePeriodSeconds=grace_s,
        **runtime.placement(asked),
    )


def owned_pod(
    owner: children.Owner,
    settings: Settings,
    container: Manifest,
    *,
    config: str,
    volumes: Iterable[Manifest],
    mounts: Iterable[Manifest],
    **fields: Any,
) -> dict[str, Any]:
    """Return a pod of one container that knows whose it is: it has a configuration, a token and its owner's key.

    Args:
        container: Without what is the same for all of them.
        volumes: Beyond those three.
        mounts: Of these.
        fields: Further fields of the pod.
    """
    return {
        **children.restricted_pod(),
        "restartPolicy": "Never",  # a restart in place would hide failures from whatever runs the pods
        **fields,
        "containers": [
            {
                **container,
                "imagePullPolicy": settings.image_pull_policy,
                "securityContext": children.restricted_container(),
                "volumeMounts": [
                    {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
                    children.token_mount(),
                    *job_key.mounts(settings),
                    *mounts,
                ],
            }
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": config}},
            children.token_volume(),
            *job_key.volumes(owner, settings),
            *volumes,
        ],
    }
