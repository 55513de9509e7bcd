"""Forget images that newer ones have replaced: a new set of libraries is a gigabyte, and its old one stays otherwise.

Kept are the newest reference of every image (`images.json`), `:dev`, and whatever a container of the cluster uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from belay_cluster.builder import Buildah, recorded
from belay_cluster.images import BASE, IMAGES, PREFIX, TAG_DIGITS
from belay_cluster.local import LocalCluster
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps

OURS = re.compile(rf"{PREFIX}/({'|'.join((BASE, *IMAGES))}):[0-9a-f]{{{TAG_DIGITS}}}")


def prune(paths: Paths, laps: Laps) -> None:
    """Remove superseded references from buildah's storage and from the running cluster."""
    newest, buildah, cluster = set(recorded(paths).values()), Buildah(paths, laps), LocalCluster(paths, laps)
    for ref in superseded(buildah.present(), keep=newest):
        buildah.untag(ref)
        laps(f"forgot {ref}")
    if cluster.processes.pid("containerd") is not None:
        listing = cluster.containerd.ctr("containers", "ls").splitlines()[1:]
        used = {line.split()[1] for line in listing}
        for ref in superseded(cluster.containerd.images(), keep=newest | used):
            cluster.containerd.ctr("images", "rm", ref)
            laps(f"the cluster forgot {ref}")
        for name in nameless(cluster.containerd.ctr("images", "ls").splitlines()[1:]):
            cluster.containerd.ctr("images", "rm", name)


def nameless(listing: Iterable[str]) -> list[str]:
    """Entries by digest, which the kubelet's interface adds to each image, whose image has no name any more.

    Args:
        listing: Lines of `ctr images ls`: name, media type, digest, more.
    """
    rows = [line.split()[:3] for line in listing]
    named = {digest for name, _, digest in rows if not name.startswith("sha256:")}
    return [name for name, _, digest in rows if name.startswith("sha256:") and digest not in named]


def superseded(references: Iterable[str], *, keep: set[str]) -> list[str]:
    """References of ours, tagged by content, that are not to be kept."""
    return sorted(ref for ref in references if OURS.fullmatch(ref) and ref not in keep)
