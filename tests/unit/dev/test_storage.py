"""Layers read out of buildah's storage are byte for byte the tars whose digest was taken."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from belay_cluster import runtime, storage
from belay_cluster.shell import Problem

REFERENCE = "localhost/room:abc"


def layer_tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def store_layer(root: Path, identity: str, files: dict[str, bytes]) -> str:
    """Take a tar apart as tar-split does: bytes of the tar, and gaps for contents, which stay in a folder."""
    data, at, entries = layer_tar(files), 0, []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            entries.append({"type": 2, "payload": base64.b64encode(data[at : member.offset_data]).decode()})
            entries.append({"type": 1, "name": member.name, "size": member.size})
            at = member.offset_data + member.size
            path = root / "overlay" / identity / "diff" / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[member.name])
    entries.append({"type": 2, "payload": base64.b64encode(data[at:]).decode()})
    (root / "overlay-layers").mkdir(exist_ok=True)
    with gzip.open(root / "overlay-layers" / f"{identity}.tar-split.gz", "wt") as journal:
        journal.writelines(json.dumps(entry) + "\n" for entry in entries)
    return storage.digest(data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lower, upper = {"etc/base": b"base" * 700, "empty": b""}, {"opt/code.py": b"print(1)\n"}
    digests = [store_layer(tmp_path, "low", lower), store_layer(tmp_path, "high", upper)]
    layers = [
        {"digest": one, "size": len(layer_tar(files))} for one, files in zip(digests, (lower, upper), strict=True)
    ]
    folder = tmp_path / "overlay-images" / "image-id"
    folder.mkdir(parents=True)
    config = b'{"os": "linux"}'
    manifest = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"digest": storage.digest(config)}}
    (folder / "manifest").write_text(json.dumps({**manifest, "layers": layers}))
    (folder / ("=" + base64.b64encode(storage.digest(config).encode()).decode())).write_bytes(config)
    images = [{"id": "image-id", "names": [REFERENCE], "layer": "high"}, {"id": "nameless", "layer": "low"}]
    (tmp_path / "overlay-images" / "images.json").write_text(json.dumps(images))
    (tmp_path / "overlay-layers" / "layers.json").write_text(
        json.dumps([{"id": "low"}, {"id": "high", "parent": "low"}])
    )
    return tmp_path


def test_every_blob_has_the_digest_it_is_sent_under(root: Path) -> None:
    image = storage.read(root, REFERENCE)
    assert len(image.blobs) == 4
    for blob in image.blobs:
        data = blob.data if blob.layer is None else b"".join(storage.layer_bytes(root, blob.layer))
        assert data is not None
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == blob.digest
        assert len(data) == blob.size


def test_the_archive_holds_blobs_under_their_names(root: Path) -> None:
    image, out = storage.read(root, REFERENCE), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|") as archive:
        for blob in image.blobs:
            runtime.add_blob(archive, root, blob)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        for blob in image.blobs:
            member = archive.extractfile(f"blobs/{blob.digest.replace(':', '/')}")
            assert member is not None
            assert storage.digest(member.read()) == blob.digest


def test_an_unknown_image_is_named(root: Path) -> None:
    with pytest.raises(Problem, match="localhost/other:1 is not in"):
        storage.read(root, "localhost/other:1")


def test_a_stream_ends_only_at_its_end() -> None:
    stream = storage.Stream(iter([b"ab", b"", b"", b"cde", b""]))
    assert [stream.read(4), stream.read(4), stream.read(4)] == [b"abcd", b"e", b""]
