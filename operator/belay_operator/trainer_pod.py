"""A pod of the trainer's image, whatever it does: its configuration, key and token, and all that a `RuntimeSpec` asks.

Pure. What the pod is for follows from its command and from the file it reads.
"""

from collections.abc import Sequence
from typing import Any

from belay_api import names
from belay_api.runtime import RuntimeSpec
from belay_operator import children, job_key, runtime
from belay_operator.engine.plan import Settings

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
    initial: str | None = None,
    grace_s: int,
) -> dict[str, Any]:
    """Return the pod's spec.

    Args:
        owner: Whose key it has.
        config: Name of the ConfigMap that it reads.
        command: Of the trainer; empty: it trains.
        store: Claim that is written to; None: the built-in store.
        initial: Claim with an artifact that is read; None: it lies on none.
        grace_s: Seconds it may take to end.
    """
    claims = {"store": store, "initial": initial}
    volumes = [
        {"name": "config", "configMap": {"name": config}},
        children.token_volume(),
        *job_key.volumes(owner, settings),
        *children.empty_dirs(["work", "tmp"]),
        *runtime.volumes(asked, **claims),
    ]
    mounts = [
        {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
        children.token_mount(),
        *job_key.mounts(settings),
        {"name": "work", "mountPath": names.WORK_DIR},
        {"name": "tmp", "mountPath": "/tmp"},
        *runtime.mounts(asked, **claims),
    ]
    return {
        **children.restricted_pod(),
        "restartPolicy": "Never",  # a restart in place would hide failures from whatever runs the pods
        "terminationGracePeriodSeconds": grace_s,
        "containers": [
            {
                "name": CONTAINER,
                "image": asked.image or settings.trainer_image,
                "imagePullPolicy": settings.image_pull_policy,
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
                "securityContext": children.restricted_container(),
                "terminationMessagePolicy": "File",
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
        **runtime.placement(asked),
    }
