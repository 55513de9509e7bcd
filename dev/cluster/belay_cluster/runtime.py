"""containerd of the local cluster: which images it holds, and handing it new ones.

Only blobs containerd lacks are sent, so after a change of source a few kilobytes go over instead of the gigabyte of
PyTorch below them.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from belay_cluster import storage
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem, run

NAMESPACE = "k8s.io"


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

    def import_images(self, store: Path, references: list[str], laps: Laps) -> None:
        """Give containerd the images it does not have yet.

        Args:
            store: buildah's storage.
        """
        known = self.images()
        for ref in references:
            if ref in known:
                continue
            image = storage.read(store, ref)
            have = set(self.ctr("content", "ls", "-q").split())
            missing = [blob for blob in image.blobs if blob.digest not in have]
            names = [ref, ref.rsplit(":", 1)[0] + ":dev"]
            self._send(store, index(image.descriptor, names), missing, ref)
            laps(f"imported {ref} ({sum(blob.size for blob in missing) / 2**20:.1f} MiB)")

    def _send(self, store: Path, index_json: bytes, blobs: list[storage.Blob], ref: str) -> None:
        """Stream an OCI archive into `ctr images import`."""
        log = self.paths.cache / "logs" / "import.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        argv = [*self.command, "images", "import", "-"]
        with log.open("ab") as output:
            child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=output, stderr=output)
        assert child.stdin is not None
        # A broken pipe is only the echo of ctr's own error, which is told below.
        with (
            contextlib.suppress(BrokenPipeError),
            child.stdin,
            tarfile.open(fileobj=child.stdin, mode="w|") as archive,
        ):
            add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            add(archive, "index.json", index_json)
            for blob in blobs:
                add_blob(archive, store, blob)
        child.wait()
        if child.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise Problem(f"importing {ref} failed (all of it: {log})\n{tail}")


def index(descriptor: dict[str, object], names: list[str]) -> bytes:
    """An index.json that gives one image several names."""
    entries = [{**descriptor, "annotations": {"io.containerd.image.name": name}} for name in names]
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a small file."""
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def add_blob(archive: tarfile.TarFile, store: Path, blob: storage.Blob) -> None:
    """Add a blob under its digest; a layer is read as it is sent."""
    name = f"blobs/{blob.digest.replace(':', '/')}"
    if blob.layer is None:
        assert blob.data is not None
        add(archive, name, blob.data)
        return
    entry = tarfile.TarInfo(name)
    entry.size = blob.size
    archive.addfile(entry, storage.Stream(storage.layer_bytes(store, blob.layer)))
