"""Bytes by digest: resumable, verified, of the namespace that brought them, and collected with their checkpoints."""

import asyncio
import hashlib
import json
import os
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.logbook.support import Process, new_namespace

from belay_api.wire import CheckpointRef
from belay_logbook.blobs import BlobFiles
from belay_logbook.db import Database
from belay_logbook.errors import Conflict
from belay_logbook.store import Store

DATA = random.Random(1).randbytes(300_000)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def upload(client: httpx.Client, data: bytes, *, name: str | None = None) -> httpx.Response:
    headers = {"Upload-Offset": "0", "Upload-Length": str(len(data))}
    return client.patch(f"/blobs/{name or digest(data)}", content=data, headers=headers)


def checkpoint(client: httpx.Client, data: bytes, step: int) -> httpx.Response:
    ref = {"step": step, "sha256": digest(data), "size": len(data)}
    return client.put(f"/checkpoints/uid/0/{step}", json=ref)


def test_an_upload_in_parts_and_what_head_says_meanwhile(client: httpx.Client) -> None:
    path = f"/blobs/{digest(DATA)}"
    assert client.head(path).status_code == 404
    first = client.patch(path, content=DATA[:100_000], headers={"Upload-Offset": "0", "Upload-Length": str(len(DATA))})
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "100000")
    head = client.head(path)
    assert (head.status_code, head.headers["Upload-Offset"]) == (200, "100000")
    assert "Content-Length" not in head.headers
    assert client.get(path).status_code == 404

    elsewhere = client.patch(path, content=DATA[5:], headers={"Upload-Offset": "5"})
    assert (elsewhere.status_code, elsewhere.headers["Upload-Offset"]) == (409, "100000")
    last = client.patch(path, content=DATA[100_000:], headers={"Upload-Offset": "100000"})
    assert last.status_code == 201
    head = client.head(path)
    assert (head.headers["Upload-Offset"], head.headers["Content-Length"]) == (str(len(DATA)), str(len(DATA)))
    assert client.get(path).content == DATA
    part = client.get(path, headers={"Range": "bytes=7-9"})
    assert (part.status_code, part.content) == (206, DATA[7:10])
    again = client.patch(path, content=b"", headers={"Upload-Offset": str(len(DATA))})
    assert again.status_code == 201  # the answer may have been lost
    assert upload(client, DATA).status_code == 409


def test_an_empty_blob_is_one(client: httpx.Client) -> None:
    assert upload(client, b"").status_code == 201
    assert client.get(f"/blobs/{digest(b'')}").content == b""


def test_other_bytes_than_promised_are_not_kept(client: httpx.Client) -> None:
    wrong = upload(client, b"x" + DATA[1:], name=digest(DATA))
    assert wrong.status_code == 422
    assert digest(b"x" + DATA[1:]) in wrong.json()["error"]["message"]
    assert client.head(f"/blobs/{digest(DATA)}").status_code == 404
    assert upload(client, DATA).status_code == 201


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        ({"Upload-Length": "3"}, 400, "Upload-Offset"),
        ({"Upload-Offset": "0"}, 400, "Upload-Length"),
        ({"Upload-Offset": "-1", "Upload-Length": "3"}, 400, "Upload-Offset"),
        ({"Upload-Offset": "0", "Upload-Length": "2"}, 400, "Upload-Length"),  # the body goes on behind it
        ({"Upload-Offset": "0", "Upload-Length": str(5 << 30)}, 413, None),
        ({"Upload-Offset": "9", "Upload-Length": "12"}, 409, None),
    ],
)
def test_a_malformed_upload_says_which_header(
    client: httpx.Client, headers: dict[str, str], status: int, field: str | None
) -> None:
    answer = client.patch(f"/blobs/{digest(b'abc')}", content=b"abc", headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"].get("field") == field


def test_a_digest_opens_nothing_to_those_who_did_not_bring_the_bytes(client: httpx.Client, logbook: Process) -> None:
    data = DATA + b"secret"
    assert upload(client, data).status_code == 201
    with logbook.client(new_namespace()) as other:
        assert other.head(f"/blobs/{digest(data)}").status_code == 404
        assert other.get(f"/blobs/{digest(data)}").status_code == 404
        assert checkpoint(other, data, 1).status_code == 422
        # claiming to be at the end of somebody else's upload proves nothing
        end = {"Upload-Offset": str(len(data)), "Upload-Length": str(len(data))}
        assert other.patch(f"/blobs/{digest(data)}", content=b"", headers=end).status_code == 409
        assert upload(other, data).status_code == 201
        assert other.get(f"/blobs/{digest(data)}").content == data


def test_a_path_cannot_leave_the_store(client: httpx.Client, logbook: Process) -> None:
    assert client.get("/blobs/" + "g" * 64).status_code == 400
    assert client.get("/blobs/..%2f..%2flogbook.db").status_code in (400, 404)
    assert httpx.get(f"{logbook.url}/v1/namespaces/..%2f/blobs/{'a' * 64}").status_code in (400, 404)
    assert client.get("/checkpoints/../0").status_code in (400, 404)


def test_a_new_request_takes_over_from_a_connection_that_hangs(client: httpx.Client, logbook: Process) -> None:
    data = random.Random(2).randbytes(4 << 20)
    path = f"/blobs/{digest(data)}"
    go_on = threading.Event()

    def hanging():
        yield data[: 3 << 19]  # the store writes the first MiB, and then waits for the rest of the second
        go_on.wait(20)
        yield data[3 << 19 :]

    answers = []

    def run() -> None:
        with logbook.client(str(client.base_url).rsplit("/", 2)[-2]) as other:
            headers = {"Upload-Offset": "0", "Upload-Length": str(len(data))}
            answers.append(other.patch(path, content=hanging(), headers=headers).status_code)

    thread = threading.Thread(target=run)
    thread.start()
    offset = 0
    while offset < 1 << 20:
        head = client.head(path)
        offset = int(head.headers.get("Upload-Offset", 0))
    answer = client.patch(path, content=data[offset:], headers={"Upload-Offset": str(offset)})
    assert answer.status_code == 201
    go_on.set()
    thread.join()
    assert answers == [409]
    assert client.get(path).content == data


def test_an_upload_whose_file_is_gone_begins_again(client: httpx.Client, logbook: Process, namespace: str) -> None:
    data = DATA[:9999]
    path = f"/blobs/{digest(data)}"
    client.patch(path, content=data[:10], headers={"Upload-Offset": "0", "Upload-Length": "9999"}).raise_for_status()
    (logbook.folder / "data" / "partial" / namespace / f"{digest(data)}.9999").unlink()
    answer = client.patch(path, content=data[10:], headers={"Upload-Offset": "10"})
    assert (answer.status_code, answer.headers.get("Upload-Offset")) == (409, "0")
    assert client.head(path).status_code == 404
    assert upload(client, data).status_code == 201


@pytest.mark.asyncio
async def test_who_reads_a_partial_file_while_another_completes_it_leaves_no_trace(tmp_path: Path) -> None:
    """A client that gave up too early asks twice after a restart; the slower request finds the bytes moved."""
    name, half = digest(DATA), len(DATA) // 2
    read, go_on = threading.Event(), threading.Event()

    class Slow(BlobFiles):
        def _resume(self, namespace: str, sha256: str) -> Any:
            found = super()._resume(namespace, sha256)
            if not read.is_set():
                read.set()
                go_on.wait(20)
            return found

    async def parts(data: bytes) -> AsyncIterator[bytes]:
        yield data

    database = Database(tmp_path / "db")
    await Store(database, BlobFiles(tmp_path)).append("ns", name, offset=0, size=len(DATA), chunks=parts(DATA[:half]))
    store = Store(database, Slow(tmp_path))
    slower = asyncio.create_task(store.append("ns", name, offset=half, size=None, chunks=parts(DATA[half:])))
    await asyncio.to_thread(read.wait, 20)
    assert (await store.append("ns", name, offset=half, size=None, chunks=parts(DATA[half:]))).complete
    go_on.set()
    with pytest.raises(Conflict):
        await slower
    assert (await store.state("ns", name)).complete

    # A seed that resumes makes the same bytes once more, when their first checkpoint is gone.
    await store.put_checkpoint("ns", "uid", 0, CheckpointRef(step=1, sha256=name, size=len(DATA)))
    await store.delete_checkpoint("ns", "uid", 0, 1)
    assert (await store.append("ns", name, offset=0, size=len(DATA), chunks=parts(DATA))).complete
    database.close()


def test_checkpoints_newest_first_and_their_blobs_go_with_them(client: httpx.Client) -> None:
    first, second = DATA[:1000], DATA[1000:3000]
    assert checkpoint(client, first, 10).status_code == 422  # its blob is not here yet
    for step, data in ((10, first), (20, second), (30, first)):
        upload(client, data)
        assert checkpoint(client, data, step).status_code == 200
    assert [it["step"] for it in client.get("/checkpoints/uid/0").json()["items"]] == [30, 20, 10]
    assert client.get("/checkpoints/uid/1").json() == {"items": []}

    assert client.delete("/checkpoints/uid/0/10").status_code == 204
    assert client.head(f"/blobs/{digest(first)}").status_code == 200  # step 30 names it too
    assert client.delete("/checkpoints/uid/0/30").status_code == 204
    assert client.head(f"/blobs/{digest(first)}").status_code == 404
    assert client.delete("/checkpoints/uid/0/30").status_code == 204
    wrong = client.put("/checkpoints/uid/0/20", json={"step": 21, "sha256": digest(second), "size": len(second)})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "step")
    wrong = client.put("/checkpoints/uid/0/20", content=json.dumps({"step": 20, "sha256": "\ud800", "size": 1}))
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "sha256")
    wrong = client.put("/checkpoints/uid/0/20", json={"step": 20, "sha256": digest(second), "size": 1})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "size")


def test_a_replaced_checkpoint_takes_its_old_blob_along(client: httpx.Client, logbook: Process) -> None:
    old, new = DATA[:500], DATA[500:900]
    for data in (old, new):
        upload(client, data)
        assert checkpoint(client, data, 7).status_code == 200
    assert client.head(f"/blobs/{digest(old)}").status_code == 404
    assert client.get(f"/blobs/{digest(new)}").content == new


def test_a_blob_two_namespaces_brought_outlives_the_first_to_let_it_go(client: httpx.Client, logbook: Process) -> None:
    data = DATA[:7777]
    with logbook.client(new_namespace()) as other:
        for one in (client, other):
            upload(one, data)
            checkpoint(one, data, 1)
        client.delete("/checkpoints/uid/0/1")
        assert client.get(f"/blobs/{digest(data)}").status_code == 404
        assert other.get(f"/blobs/{digest(data)}").content == data
        other.delete("/checkpoints/uid/0/1")
        assert other.get(f"/blobs/{digest(data)}").status_code == 404
    assert not (logbook.folder / "data" / "blobs" / digest(data)[:2] / digest(data)).exists()


def test_what_an_artifact_names_stays_when_the_checkpoint_goes(client: httpx.Client) -> None:
    shared = DATA[:4444]
    upload(client, shared)
    checkpoint(client, shared, 1)
    manifest = json.dumps(
        {
            "algorithm": "ppo",
            "environment": "CartPole-v1",
            "observation": {"kind": "box", "shape": [4], "dtype": "float32", "low": [None] * 4, "high": [None] * 4},
            "action": {"kind": "discrete", "n": 2},
            "output": "logits",
            "evaluation": {"step": 1, "episodes": 1, "firstSeed": 0, "mean": 1, "std": 0, "min": 1, "max": 1},
            "lineage": {
                "namespace": "n",
                "trainingJob": "j",
                "uid": "u",
                "seed": 0,
                "step": 1,
                "configHash": "c",
            },
            "files": [{"path": "training.zip", "size": len(shared), "sha256": digest(shared)}],
        }
    ).encode()
    assert upload(client, manifest).status_code == 201
    client.delete("/checkpoints/uid/0/1")
    assert client.get(f"/blobs/{digest(shared)}").content == shared


def test_partial_files_nobody_continued_are_dropped(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    with process.client("ns") as client:
        for data in (b"old", b"new"):
            headers = {"Upload-Offset": "0", "Upload-Length": "3"}
            assert client.patch(f"/blobs/{digest(data)}", content=data[:1], headers=headers).status_code == 204
    process.stop()
    os.utime(tmp_path / "data" / "partial" / "ns" / f"{digest(b'old')}.3", (0, 0))
    process.start()
    with process.client("ns") as client:
        assert client.head(f"/blobs/{digest(b'old')}").status_code == 404
        assert client.head(f"/blobs/{digest(b'new')}").headers["Upload-Offset"] == "1"
    process.stop()
