"""Volumes of a pod and where they are mounted, in Kubernetes' own form: those that a restricted pod may have."""

from typing import Annotated, Literal

from pydantic import Field

from belay_api import names
from belay_api.code import ObjectName, RelativePath
from belay_api.model import Model, rule, rules
from belay_api.units import Quantity

_SOURCES = ("configMap", "secret", "persistentVolumeClaim", "emptyDir")
_KEY = r"^[-._a-zA-Z0-9]+$"

VolumeName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=58)]
"""Room for what Belay puts before it, so that it is none of its own volumes."""

OWN_PATHS = (
    names.AGAINST_DIR,
    names.CODE_DIR,
    names.DATA_DIR,
    "/dev",
    "/etc/belay",
    names.JOB_KEY_FILE.rpartition("/")[0],
    names.GIT_CREDENTIALS_DIR,
    names.INITIAL_DIR,
    "/opt/belay",
    "/proc",
    "/run/belay",  # what /var/run/belay is on Debian
    names.PVC_DIR,
    "/sys",
    "/tmp",
    names.TOKEN_FILE.rpartition("/")[0],
    names.WORK_DIR,
)
"""What Belay and the kernel mount in a training pod, and where the image has the trainer."""


class KeyToPath(Model):
    """One key as one file."""

    key: Annotated[str, Field(pattern=_KEY, max_length=253)]
    """Key of the object."""
    path: RelativePath
    """File below the mount."""


class ConfigMapVolume(Model):
    """The keys of a ConfigMap as files."""

    name: ObjectName
    """Name of the ConfigMap."""
    items: Annotated[list[KeyToPath], Field(max_length=64)] = Field(default_factory=list)
    """Which keys, as which files; empty: all, each as a file of its name."""
    optional: bool | None = None
    """True: the pod starts without it; unset: it waits for it."""


class SecretVolume(Model):
    """The keys of a Secret as files."""

    secret_name: ObjectName
    """Name of the Secret."""
    items: Annotated[list[KeyToPath], Field(max_length=64)] = Field(default_factory=list)
    """Which keys, as which files; empty: all, each as a file of its name."""
    optional: bool | None = None
    """True: the pod starts without it; unset: it waits for it."""


class ClaimVolume(Model):
    """A PersistentVolumeClaim of the job's namespace."""

    claim_name: ObjectName
    """Name of the claim; ReadWriteMany, or one node."""
    read_only: bool | None = None
    """True: every mount of it is read-only."""


class EmptyDirVolume(Model):
    """An empty folder that goes with the pod."""

    medium: Literal["", "Memory"] | None = None
    """Memory: in memory, counted against the container's limit; unset: on the node's disk."""
    size_limit: Quantity | None = None
    """At most this much; a pod that writes more is evicted."""


class Volume(Model):
    """One volume of the pod."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                f"[{', '.join(f'has(self.{name})' for name in _SOURCES)}].exists_one(x, x)",
                f"runtime.volumes: a volume has exactly one of {', '.join(_SOURCES[:-1])} and {_SOURCES[-1]}: make one "
                "list entry of each",
            ),
        )
    }

    name: VolumeName
    """What mounts call it. In the pod it is called `user-<name>`, and so in messages of the cluster."""
    config_map: ConfigMapVolume | None = None
    """A ConfigMap."""
    secret: SecretVolume | None = None
    """A Secret."""
    persistent_volume_claim: ClaimVolume | None = None
    """A claim."""
    empty_dir: EmptyDirVolume | None = None
    """An empty folder."""


class VolumeMount(Model):
    """Where the trainer finds a volume."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                f"{list(OWN_PATHS)}.all(own, self.mountPath != own && !self.mountPath.startsWith(own + '/') && "
                "!own.startsWith(self.mountPath + '/'))",
                f"runtime.volumeMounts: {', '.join(OWN_PATHS)} are Belay's, with what is in them and above them: mount "
                "elsewhere, such as /mnt/mine; claims with data go into runtime.data, modules into runtime.code",
            ),
        )
    }

    name: VolumeName
    """One of `runtime.volumes`."""
    mount_path: Annotated[str, Field(pattern=r"^(/\.?[A-Za-z0-9_][A-Za-z0-9._-]*)+$", max_length=256)]
    """Absolute folder in the pod."""
    sub_path: RelativePath | None = None
    """Folder or file of the volume; unset: its root."""
    read_only: bool | None = None
    """True: nothing can be written to it."""


class DataClaim(Model):
    """A claim with data, mounted read-only at `/data/<name>`."""

    name: VolumeName
    """Folder below `/data`."""
    claim: ObjectName
    """Name of the claim; ReadWriteMany or ReadOnlyMany, or one node."""
    path: RelativePath | None = None
    """Folder of the claim; unset: its root."""
