"""One suite for every store; then what only one of them can get wrong."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from trainer_configs import NAMESPACE, UID
from trainer_support import LogbookServer

from belay_api.artifact import MANIFEST, EvaluationReport, Lineage, Manifest, file_entries, verify
from belay_api.spaces import space_model
from belay_api.wire import API_PREFIX
from belay_trainer.errors import StoreRefused, StoreUnavailable
from belay_trainer.files import reference
from belay_trainer.logbook import connect
from belay_trainer.store import Store
from belay_trainer.store.folder import FolderStore
from belay_trainer.store.local import LocalStore
from belay_trainer.store.logbook import LENGTH, OFFSET, LogbookStore

SEED = f"{UID}/0"


@pytest.fixture(params=["folder", "logbook"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "folder":
        (tmp_path / "volume").mkdir()
        yield FolderStore(tmp_path / "volume", claim="policies", seed=SEED)
    else:
        server: LogbookServer = request.getfixturevalue("logbook")
        yield LogbookStore(connect(server.url, tmp_path / "no-token"), namespace=NAMESPACE, seed=SEED)


def test_an_empty_store_has_no_checkpoints(store: Store) -> None:
    assert store.checkpoints() == []


def test_checkpoints_come_back_newest_first(store: Store) -> None:
    blobs = {step: b"%d" % step * 1000 for step in (1000, 300, 20_000)}
    for step, blob in blobs.items():
        store.save(reference(step, blob), blob)
    found = store.checkpoints()
    assert [ref.step for ref in found] == [20_000, 1000, 300]
    assert all(store.load(ref) == blobs[ref.step] for ref in found)
    assert found == [reference(ref.step, blobs[ref.step]) for ref in found]


def test_another_checkpoint_of_the_same_step_takes_its_place(store: Store) -> None:
    store.save(reference(5, b"first"), b"first")
    store.save(reference(5, b"second"), b"second")
    assert [store.load(ref) for ref in store.checkpoints()] == [b"second"]


def test_what_is_cleared_is_gone_and_clearing_twice_is_fine(store: Store) -> None:
    for step in (5, 6):
        store.save(reference(step, b"%d" % step), b"%d" % step)
    for _ in range(2):
        store.clear()
        assert store.checkpoints() == []


def test_saving_twice_is_saving_once(store: Store) -> None:
    for _ in range(2):
        store.save(reference(5, b"same"), b"same")
    assert len(store.checkpoints()) == 1


def test_deleting_is_final_and_may_be_repeated(store: Store) -> None:
    ref = reference(5, b"old")
    store.save(ref, b"old")
    store.save(reference(6, b"new"), b"new")
    store.delete(ref)
    store.delete(ref)
    assert [ref.step for ref in store.checkpoints()] == [6]


def test_a_large_checkpoint_comes_back_whole(store: Store) -> None:
    blob = bytes(range(256)) * 12_000  # 3 MB: several pieces of an upload
    store.save(reference(1, blob), blob)
    assert store.load(store.checkpoints()[0]) == blob


def test_an_artifact_is_named_by_its_digest_and_published_once(store: Store, tmp_path: Path) -> None:
    folder, manifest = _artifact(tmp_path / "artifact")
    uris = {store.publish(folder, manifest) for _ in range(2)}
    assert len(uris) == 1
    assert uris.pop().endswith(manifest.digest().removeprefix("sha256:"))


def test_a_document_is_kept_beside_artifacts_once(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    content = b"<!doctype html>"
    uris = {store.keep("report.html", content) for _ in range(2)}
    [uri] = uris
    digest = hashlib.sha256(content).hexdigest()
    if isinstance(store, FolderStore):
        assert uri == f"pvc://policies/documents/{digest}/report.html"
        assert (tmp_path / "volume" / uri.removeprefix("pvc://policies/")).read_bytes() == content
    else:
        assert uri == f"store://sha256/{digest}"
        server: LogbookServer = request.getfixturevalue("logbook")
        address = f"{server.url}{API_PREFIX}/namespaces/{NAMESPACE}/blobs/{digest}"
        assert httpx.get(address, trust_env=False).content == content


def test_a_folder_holds_the_artifact_where_its_uri_says(tmp_path: Path) -> None:
    folder, manifest = _artifact(tmp_path / "artifact")
    store = FolderStore(tmp_path, claim="policies", seed=SEED)
    uri = store.publish(folder, manifest)
    assert uri.startswith("pvc://policies/")
    assert verify(tmp_path / uri.removeprefix("pvc://policies/"), wanted=manifest.digest()) == manifest


def test_a_damaged_artifact_in_a_folder_is_replaced(tmp_path: Path) -> None:
    folder, manifest = _artifact(tmp_path / "artifact")
    store = FolderStore(tmp_path, claim="policies", seed=SEED)
    target = tmp_path / store.publish(folder, manifest).removeprefix("pvc://policies/")
    (target / "policy.onnx").write_bytes(b"changed")
    store.publish(folder, manifest)
    verify(target, wanted=manifest.digest())
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == [target.name]  # nothing half-made is left


@pytest.mark.parametrize("written", [0, 1, 3])
def test_a_full_volume_is_waited_for_and_not_filled_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    folder, manifest = _artifact(tmp_path / "artifact")
    store = FolderStore(tmp_path / "volume", claim="policies", seed=SEED)
    room, fsync = [written], os.fsync

    def full(descriptor: int) -> None:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= stat.S_ISREG(os.fstat(descriptor).st_mode)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        store.publish(folder, manifest)
    room[0] = 0
    with pytest.raises(StoreUnavailable, match="No space left"):
        store.save(reference(1, b"x"), b"x")

    assert [path for path in (tmp_path / "volume").rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    target = tmp_path / "volume" / store.publish(folder, manifest).removeprefix("pvc://policies/")
    verify(target, wanted=manifest.digest())


def test_a_volume_that_cannot_sync_folders_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    store = FolderStore(tmp_path, claim="policies", seed=SEED)
    store.save(reference(1, b"x"), b"x")
    assert store.load(reference(1, b"x")) == b"x"


def test_a_volume_that_cannot_be_written_is_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # root, as who these tests run, is never told that

    monkeypatch.setattr(os, "mkdir", forbidden)
    with pytest.raises(StoreRefused, match="must be writable for user"):
        FolderStore(tmp_path / "volume", claim="policies", seed=SEED).checkpoints()


def test_the_logbook_has_every_blob_of_an_artifact(logbook: LogbookServer, tmp_path: Path) -> None:
    folder, manifest = _artifact(tmp_path / "artifact")
    client = connect(logbook.url, tmp_path / "no-token")
    LogbookStore(client, namespace=NAMESPACE, seed=SEED).publish(folder, manifest)
    for path in folder.iterdir():
        content = path.read_bytes()
        blob = client.get(f"/v1/namespaces/{NAMESPACE}/blobs/{hashlib.sha256(content).hexdigest()}")
        assert blob.raise_for_status().content == content


def test_an_upload_goes_on_where_another_broke_off(logbook: LogbookServer, tmp_path: Path) -> None:
    blob = bytes(range(256)) * 8000
    client = connect(logbook.url, tmp_path / "no-token")
    ref = reference(1, blob)
    path = f"/v1/namespaces/{NAMESPACE}/blobs/{ref.sha256}"
    client.patch(path, content=blob[:1_000_000], headers={OFFSET: "0", LENGTH: str(len(blob))}).raise_for_status()
    sent: list[int] = []
    client.event_hooks["request"] = [lambda request: sent.append(int(request.headers.get("Content-Length", 0)))]

    LogbookStore(client, namespace=NAMESPACE, seed=SEED).save(ref, blob)

    assert max(sent) == len(blob) - 1_000_000
    assert client.get(path).content == blob


def test_an_upload_that_ended_with_the_logbook_is_completed(logbook: LogbookServer, tmp_path: Path) -> None:
    blob = bytes(range(256)) * 8000
    client = connect(logbook.url, tmp_path / "no-token")
    ref = reference(1, blob)
    path = f"/v1/namespaces/{NAMESPACE}/blobs/{ref.sha256}"
    client.patch(path, content=blob[:-1], headers={OFFSET: "0", LENGTH: str(len(blob))}).raise_for_status()
    logbook.stop()
    (partial,) = logbook.data.rglob(f"{ref.sha256}.*")
    with partial.open("ab") as file:  # it wrote the last byte and died before it looked at all of them
        file.write(blob[-1:])
    logbook.start()

    store = LogbookStore(client, namespace=NAMESPACE, seed=SEED)
    store.save(ref, blob)

    assert store.load(ref) == blob


def test_a_logbook_that_is_away_is_unavailable(logbook: LogbookServer, tmp_path: Path) -> None:
    logbook.stop()
    store = LogbookStore(connect(logbook.url, tmp_path / "no-token"), namespace=NAMESPACE, seed=SEED)
    with pytest.raises(StoreUnavailable):
        store.save(reference(1, b"x"), b"x")


def test_what_no_retry_can_change_is_refused(logbook: LogbookServer, tmp_path: Path) -> None:
    client: httpx.Client = connect(logbook.url, tmp_path / "no-token")
    store = LogbookStore(client, namespace=NAMESPACE, seed=SEED)
    with pytest.raises(StoreRefused, match="422"):
        store.save(reference(1, b"promised"), b"written!")  # other bytes than the digest promises


def _artifact(folder: Path) -> tuple[Path, Manifest]:
    import gymnasium

    folder.mkdir()
    for name in ("policy.onnx", "policy.pt", "training.zip"):
        (folder / name).write_bytes(name.encode() * 100)
    report = EvaluationReport(step=1, episodes=1, first_seed=0, mean=1.0, std=0.0, min=1.0, max=1.0)
    lineage = Lineage(seed=0, step=1, config_hash="h")
    manifest = Manifest(
        algorithm="ppo",
        environment="CartPole-v1",
        observation=space_model(gymnasium.spaces.Discrete(3)),
        action=space_model(gymnasium.spaces.Discrete(2)),
        output="logits",
        evaluation=report,
        lineage=lineage,
        files=file_entries(folder),
    )
    (folder / MANIFEST).write_bytes(manifest.canonical())
    return folder, manifest


def test_a_store_on_ones_own_machine_names_the_address_to_be_and_waits_for_no_room(tmp_path: Path) -> None:
    folder, manifest = _artifact(tmp_path / "artifact")
    store = LocalStore(tmp_path / "run", address="store://sha256")
    name = manifest.digest().removeprefix("sha256:")
    assert store.publish(folder, manifest) == f"store://sha256/{name}"
    assert verify(tmp_path / "run" / "artifacts" / name, wanted=manifest.digest()) == manifest
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "artifacts").write_text("a file where a folder belongs")
    with pytest.raises(StoreRefused, match="--out"):
        LocalStore(tmp_path / "blocked", address="store://sha256").publish(folder, manifest)
