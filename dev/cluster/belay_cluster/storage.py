"""Read images straight out of buildah's storage, layer by layer, without exporting them.

`buildah push` writes every layer again, also the gigabyte of PyTorch that has not changed: ten seconds per image. Here
one layer can be read alone. The storage keeps a layer as a folder plus a tar-split journal: the tar's own bytes, with
gaps where file contents belong. Put together they are the very bytes the digest was taken of, and containerd checks
that digest, so a misread layer cannot go unnoticed.

Source: containers/storage, drivers/overlay and layers.go; vbatts/tar-split, tar/storage/entry.go.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belay_cluster.shell import Problem

CHUNK = 1 << 20
GAP, BYTES = 1, 2
"""Kinds of tar-split entries: a file's contents; bytes of the tar itself."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One piece of an image."""

    digest: str
    size: int
    data: bytes | None
    """Contents; None for a layer, which `layer_bytes` streams."""
    layer: str | None = None
    """Id of the layer in the storage."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image as an OCI manifest and its blobs."""

    descriptor: dict[str, object]
    """Entry of an index.json: media type, digest, size."""
    blobs: tuple[Blob, ...]
    """Manifest, configuration, layers; each digest once."""


def read(root: Path, reference: str) -> StoredImage:
    """The image with that name in the storage at `root`."""
    images = json.loads((root / "overlay-images" / "images.json").read_text())
    image = next((one for one in images if reference in one.get("names", ())), None)
    if image is None:
        raise Problem(f"{reference} is not in {root}. `python -m belay_cluster images` builds it.")
    folder = root / "overlay-images" / image["id"]
    manifest = (folder / "manifest").read_bytes()
    document = json.loads(manifest)
    config = document["config"]["digest"]
    name = "=" + base64.urlsafe_b64encode(config.encode()).decode()
    configuration = (folder / name).read_bytes()
    layers = json.loads((root / "overlay-layers" / "layers.json").read_text())
    ids = chain(layers, image["layer"])
    found = {digest(manifest): Blob(digest(manifest), len(manifest), manifest)}
    found[config] = Blob(config, len(configuration), configuration)
    for layer, identity in zip(document["layers"], ids, strict=True):
        # The same empty layer may occur twice; a blob is sent once.
        found.setdefault(layer["digest"], Blob(layer["digest"], layer["size"], None, identity))
    descriptor = {"mediaType": document["mediaType"], "digest": digest(manifest), "size": len(manifest)}
    return StoredImage(descriptor, tuple(found.values()))


def chain(layers: list[dict[str, Any]], top: str) -> list[str]:
    """Ids of a layer and those below it, lowest first."""
    parents = {layer["id"]: layer.get("parent") for layer in layers}
    found: list[str] = []
    at: str | None = top
    while at:
        found.append(at)
        at = parents[at]
    return found[::-1]


def digest(data: bytes) -> str:
    """Digest in the form image formats use."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer_bytes(root: Path, identity: str) -> Iterator[bytes]:
    """The layer's tar, in pieces, exactly as it was when its digest was taken."""
    contents = root / "overlay" / identity / "diff"
    with gzip.open(root / "overlay-layers" / f"{identity}.tar-split.gz") as journal:
        for line in journal:
            yield from entry_bytes(json.loads(line), contents)


def entry_bytes(entry: dict[str, Any], contents: Path) -> Iterator[bytes]:
    """What one journal entry stands for."""
    if entry["type"] == BYTES:
        yield base64.b64decode(entry.get("payload") or "")
    elif entry["type"] == GAP and entry.get("size"):
        name = (
            base64.b64decode(entry["name_raw"]).decode(errors="surrogateescape")
            if "name_raw" in entry
            else entry["name"]
        )
        with (contents / name.lstrip("/")).open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece


class Stream:
    """File-like view of pieces, for tarfile."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int = CHUNK, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        parts, missing = [], size
        while missing:
            if not self._rest:
                # An empty piece is an empty entry of the journal, not the end.
                self._rest = next((piece for piece in self._pieces if piece), b"")
                if not self._rest:
                    break
            part, self._rest = self._rest[:missing], self._rest[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
