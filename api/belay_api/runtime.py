"""Where a seed runs, and what it finds there: image and machine, code and packages, data, variables, an account."""

from typing import Annotated, Any

from pydantic import Field

from belay_api.affinity import Affinity
from belay_api.code import CodeSpec, ObjectName
from belay_api.model import Model, rule, rules
from belay_api.pod_env import EnvFromSource, EnvVar
from belay_api.pod_volumes import DataClaim, Volume, VolumeMount
from belay_api.pods import ResourceRequirements, Toleration
from belay_api.units import Quantity

INDEX_URL_ENV = "PIP_INDEX_URL"
"""What pip reads its index from; set by the operator, or by the user where the address holds a password."""

_PINNED = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\\[[A-Za-z0-9._,-]+\\])?==[0-9][A-Za-z0-9.!+_-]*$"  # in CEL text


def _listed_by(key: str) -> dict[str, Any]:
    """Two entries of one name are refused by the API server, and server-side apply merges by it."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class PullSecret(Model):
    """A Secret with a registry's credentials."""

    name: ObjectName
    """Name of the Secret, of type kubernetes.io/dockerconfigjson."""


class RuntimeSpec(Model):
    """Where and on what a seed runs."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                r"!has(self.image) || self.image.matches('^[^\\s]+$')",
                "runtime.image has a space or a line break in it, and no image is called so: take it out",
            ),
            rule(
                f"!has(self.packages) || self.packages.all(one, one.matches('{_PINNED}'))",
                "runtime.packages: an entry is a package with its exact version, such as highway-env==1.12.1, and "
                "nothing else: seeds that start at different times would otherwise train with different ones; what is "
                "in no index goes into runtime.code",
            ),
            rule(
                "!has(self.packageIndex) || self.packageIndex.matches('^https?://[^@ ]+$')",
                "runtime.packageIndex begins with https:// (or http://) and has neither user nor password in it: for "
                f"those take {INDEX_URL_ENV} from a Secret in runtime.env instead",
            ),
            rule(
                f"!has(self.packageIndex) || !has(self.env) || self.env.all(one, one.name != '{INDEX_URL_ENV}')",
                f"runtime.packageIndex and {INDEX_URL_ENV} in runtime.env say the same: remove one",
            ),
            rule(
                "!has(self.volumeMounts) || self.volumeMounts.all(mount, has(self.volumes) && "
                "self.volumes.exists(volume, volume.name == mount.name))",
                "runtime.volumeMounts: a mount names a volume that runtime.volumes does not have: add it there",
            ),
            rule(
                "!has(self.shm) || quantity(string(self.shm)).isGreaterThan(quantity('0'))",
                "runtime.shm is above 0, such as 1Gi: leave it out for the node's own 64Mi",
            ),
        )
    }

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Image with the Belay trainer; unset: the one the operator was installed with."""
    image_pull_secrets: Annotated[list[PullSecret], Field(max_length=8)] = Field(
        default_factory=list, json_schema_extra=_listed_by("name")
    )
    """Secrets to pull the image with; empty: those of the service account."""
    resources: ResourceRequirements = ResourceRequirements()
    """Requests and limits of one seed, e.g. `limits: {nvidia.com/gpu: 1}`."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels a node must carry."""
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = Field(default_factory=list)
    """Taints the pods tolerate."""
    affinity: Affinity | None = None
    """Where the scheduler puts the pods, beyond `nodeSelector`."""
    service_account_name: ObjectName | None = None
    """Service account of the pods; unset: the namespace's `default`. Its token for the API server is not mounted: it
    is for pull secrets, for identities at a cloud, and for policies of the cluster."""
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Threads with which torch computes; unset: 1, which suits small networks, and for which alone a resumed seed is
    promised to end with the same bits."""
    code: CodeSpec | None = None
    """Modules of your own, read-only and importable: with a module `my_task` there, `environment.id` may be
    `my_task:MyTask-v0`. Nothing of the image is hidden by them. Their digest is part of the artifact."""
    packages: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=64)] = Field(default_factory=list)
    """Packages that pip installs when a pod starts, each with its exact version, such as `highway-env==1.12.1`. What
    they need and the image does not have comes with them; what the image has stays as it is. The versions installed
    are part of the artifact."""
    package_index: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Index that pip installs from, such as `https://pypi.example.com/simple`; unset: the one the operator was
    installed with, else PyPI."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = Field(
        default_factory=list, json_schema_extra=_listed_by("name")
    )
    """Environment variables of the trainer."""
    env_from: Annotated[list[EnvFromSource], Field(max_length=16)] = Field(default_factory=list)
    """Environment variables from ConfigMaps and Secrets, one for each key. `env` and what Belay sets come first; names
    that `env` refuses must not be among them: PYTHONPATH would hide the trainer."""
    volumes: Annotated[list[Volume], Field(max_length=32)] = Field(
        default_factory=list, json_schema_extra=_listed_by("name")
    )
    """Further volumes."""
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=32)] = Field(
        default_factory=list, json_schema_extra=_listed_by("mountPath")
    )
    """Where the trainer finds them."""
    data: Annotated[list[DataClaim], Field(max_length=16)] = Field(
        default_factory=list, json_schema_extra=_listed_by("name")
    )
    """Claims with data, each read-only at `/data/<name>`. Their files keep their owners and modes: user 65532, as whom
    the trainer runs, must be allowed to read them."""
    shm: Quantity | None = None
    """Size of `/dev/shm`, such as `1Gi`: memory that processes share, counted against the memory limit. Unset: the
    node's own, usually 64Mi."""
