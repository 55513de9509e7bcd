"""Where the driver keeps things: one answer for every module, from the environment and nothing else.

Two places, because they want opposite things. `state` is short (Unix sockets end at 108 bytes), may be a small tmpfs,
and dies with `down`. `cache` is on disk, may be large, and survives: binaries, images, containerd's content.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
STATE = {"admin.kubeconfig", "cfg", "etcd", "ipam", "log", "pids", "pki", "run", "sysctl.before"}
"""All there ever is in `state`: what else is there was put there by somebody else, and so was the folder."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Every folder and file the driver owns; names are fixed so that a stranger finds them."""

    repository: Path
    """Root of the Belay checkout; the build context of every image."""
    cache: Path
    """Large and kept: binaries, image storage, containerd's content, volumes."""
    state: Path
    """Small and disposable: certificates, configuration, etcd, sockets, logs, process ids."""

    @property
    def bin(self) -> Path:
        """Binaries built from the pinned Go modules."""
        return self.cache / "bin"

    @property
    def data(self) -> Path:
        """What the running cluster stores on disk."""
        return self.cache / "cluster"

    @property
    def kubeconfig(self) -> Path:
        """Administrator of the local cluster."""
        return self.state / "admin.kubeconfig"

    @property
    def kind_kubeconfig(self) -> Path:
        """Administrator of the kind cluster."""
        return self.cache / "kind.kubeconfig"

    @property
    def own_kubeconfig(self) -> Path:
        """The user's cluster: the part of their kubeconfig that names it."""
        return self.cache / "own.kubeconfig"

    @property
    def socket(self) -> Path:
        """containerd's socket."""
        return self.state / "run" / "containerd.sock"

    @property
    def images_json(self) -> Path:
        """Newest reference of every image: {name: ref}."""
        return self.cache / "images.json"

    @property
    def cluster(self) -> Path:
        """Source of this driver: Go modules and manifests."""
        return self.repository / "dev" / "cluster"


def from_environment(environ: Mapping[str, str]) -> Paths:
    """Paths as XDG and the two overrides (`BELAY_CACHE`, `BELAY_STATE`) say."""
    home = Path(environ.get("HOME", "/root"))
    xdg = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    return Paths(
        repository=REPOSITORY,
        cache=Path(environ.get("BELAY_CACHE") or xdg / "belay"),
        state=Path(environ.get("BELAY_STATE") or "/run/belay"),
    )


def strangers(folder: Path, ours: Collection[str]) -> list[str]:
    """What a folder that is to be ours holds besides: then it is somebody else's, and must not be deleted."""
    names = [path.name.removesuffix(".part") for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in names if name not in ours)
