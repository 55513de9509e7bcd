"""containerd of the local cluster: which images it holds, and handing it new ones.

Images travel as an OCI layout whose blobs all images share. Only blobs containerd lacks are sent, so after a change of
source a few kilobytes go over instead of the gigabyte of PyTorch below them.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from belay_cluster.builder import Buildah
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem, run

NAMESPACE = "k8s.io"


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image in the layout."""

    descriptor: dict[str, object]
    """Its entry of index.json: media type, digest, size."""
    blobs: tuple[str, ...]
    """Digests of the manifest itself, its configuration and its layers."""


class Containerd:
    """ctr, bound to the cluster's socket."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.command = (str(paths.bin / "ctr"), "-a", str(paths.socket), "-n", NAMESPACE)

    def ctr(self, *arguments: str) -> str:
        """Run ctr; its standard output."""
        return run([*self.command, *arguments], what=f"ctr {' '.join(arguments[:2])}")

    def images(self) -> set[str]:
        """References containerd knows."""
        return set(self.ctr("images", "ls", "-q").split())

    def import_images(self, buildah: Buildah, references: list[str], laps: Laps) -> None:
        """Give containerd the images it does not have yet."""
        known = self.images()
        for ref in references:
            if ref in known:
                continue
            layout = self.paths.cache / "oci"
            tag = ref.rsplit("/", 1)[-1].replace(":", "-")
            target = f"oci:{layout}:{tag}"
            run([*buildah.command, "push", "--disable-compression", "-q", ref, target], what="export", env=buildah.env)
            manifest = find(layout, tag)
            have = set(self.ctr("content", "ls", "-q").split())
            missing = [digest for digest in manifest.blobs if digest not in have]
            sent = self._send(layout, manifest, missing, names=[ref, ref.rsplit(":", 1)[0] + ":dev"])
            laps(f"imported {ref} ({sent / 2**20:.0f} MiB)")

    def _send(self, layout: Path, manifest: Manifest, missing: list[str], *, names: list[str]) -> int:
        log = self.paths.cache / "logs" / "import.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(
                [*self.command, "images", "import", "-"], stdin=subprocess.PIPE, stdout=output, stderr=output
            )
            assert child.stdin is not None
            try:
                with child.stdin, tarfile.open(fileobj=child.stdin, mode="w|") as archive:
                    _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
                    _add(archive, "index.json", index(manifest, names))
                    for digest in missing:
                        archive.add(blob(layout, digest), arcname=f"blobs/sha256/{digest.partition(':')[2]}")
            except BrokenPipeError:
                pass  # ctr's own error, told below, says why it stopped reading
            if child.wait() != 0:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise Problem(f"importing {names[0]} failed (all of it: {log})\n{tail}")
        return sum(blob(layout, digest).stat().st_size for digest in missing)


def blob(layout: Path, digest: str) -> Path:
    """File of a digest in an OCI layout."""
    algorithm, _, value = digest.partition(":")
    return layout / "blobs" / algorithm / value


def find(layout: Path, tag: str) -> Manifest:
    """The image that `tag` names in a layout's index."""
    entries = json.loads((layout / "index.json").read_text())["manifests"]
    for entry in entries:
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
            manifest = json.loads(blob(layout, entry["digest"]).read_text())
            layers = (layer["digest"] for layer in manifest["layers"])
            # An image may hold the same empty layer twice; a blob is sent once.
            blobs = dict.fromkeys((entry["digest"], manifest["config"]["digest"], *layers))
            descriptor = {key: entry[key] for key in ("mediaType", "digest", "size")}
            return Manifest(descriptor, tuple(blobs))
    raise Problem(f"{layout}/index.json has no image {tag}. Remove that folder and run `images` again.")


def index(manifest: Manifest, names: list[str]) -> bytes:
    """An index.json that gives one image several names."""
    entries = [{**manifest.descriptor, "annotations": {"io.containerd.image.name": name}} for name in names]
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
