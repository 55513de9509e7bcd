"""A disk that is full: 503, nothing half done, looks go on, and the same requests succeed once there is space."""

import asyncio
import hashlib
import random
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.unit.logbook.support import Process, receipt

from belay_api.wire import CheckpointRef
from belay_logbook.blobs import BlobFiles
from belay_logbook.db import Database
from belay_logbook.errors import Conflict, Unavailable
from belay_logbook.store import Store

DATA = random.Random(5).randbytes(3_000_000)
NAME = hashlib.sha256(DATA).hexdigest()


@contextmanager
def files_end_at(process: Process, size: int) -> Iterator[None]:
    """Let no file of the process grow beyond `size` bytes: what a full volume does, and root cannot evade it."""
    assert process._process is not None
    soft, hard = resource.prlimit(process._process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process._process.pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(process._process.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_what_the_disk_refuses_is_503_and_succeeds_later(tmp_path: Path) -> None:
    process = Process(tmp_path).start()

    def outcomes(name: str, count: int) -> dict:
        tokens = [receipt(f"{name}{number}", ago=100, namespace="ns") for number in range(count)]
        return {"items": [{"receipt": token, "outcomes": {"return": 1}} for token in tokens]}

    def missing(client: httpx.Client) -> int:
        version = client.get("/statistics", params={"versions": "candidate", "window": 86400}).json()["versions"][0]
        return sum(window["missing"] for window in version["windows"])

    with process.client("ns") as client:
        client.post("/outcomes", json=outcomes("first", 10)).raise_for_status()
        many = outcomes("many", 5000)
        with files_end_at(process, 200_000):
            refused = client.post("/outcomes", json=many)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert missing(client) == 10
            headers = {"Upload-Offset": "0", "Upload-Length": str(len(DATA))}
            assert client.patch(f"/blobs/{NAME}", content=DATA, headers=headers).status_code == 503
            assert httpx.get(f"{process.url}/readyz").status_code == 200
        assert client.post("/outcomes", json=many).json() == {"accepted": 5000, "refused": []}
        assert missing(client) == 5010
        offset = client.head(f"/blobs/{NAME}").headers["Upload-Offset"]
        rest = client.patch(f"/blobs/{NAME}", content=DATA[int(offset) :], headers={"Upload-Offset": offset})
        assert rest.status_code == 201
        assert client.get(f"/blobs/{NAME}").content == DATA
    assert process.stop() == 0


def test_a_volume_that_takes_no_new_file_is_503(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    partial = tmp_path / "data" / "partial"
    partial.rmdir()
    partial.write_text("in the way")
    with process.client("ns") as client:
        headers = {"Upload-Offset": "0", "Upload-Length": str(len(DATA))}
        assert client.patch(f"/blobs/{NAME}", content=DATA, headers=headers).status_code == 503
        partial.unlink()
        assert client.patch(f"/blobs/{NAME}", content=DATA, headers=headers).status_code == 201
    process.stop()


async def parts(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Refusing(Database):
    """A database whose disk refuses to record whose a blob is."""

    refuses = False

    async def write(self, work, *, after=None):  # type: ignore[no-untyped-def]
        if self.refuses:
            raise Unavailable("full")
        return await super().write(work, after=after)


@pytest.mark.parametrize("removed", [False, True])
def test_an_upload_whose_last_step_the_disk_refused_can_be_finished(tmp_path: Path, *, removed: bool) -> None:
    async def run() -> None:
        database = Refusing(tmp_path / "db")
        store = Store(database, BlobFiles(tmp_path))
        await store.append("other", NAME, offset=0, size=len(DATA), chunks=parts(DATA))
        await store.put_checkpoint("other", "uid", 0, CheckpointRef(step=1, sha256=NAME, size=len(DATA)))
        database.refuses = True
        with pytest.raises(Unavailable):
            await store.append("ns", NAME, offset=0, size=len(DATA), chunks=parts(DATA))
        database.refuses = False
        if removed:  # the bytes were in place already, and went with another namespace's last checkpoint
            await store.delete_checkpoint("other", "uid", 0, 1)
            with pytest.raises(Conflict) as caught:
                await store.append("ns", NAME, offset=len(DATA), size=None, chunks=parts(b""))
            assert caught.value.headers == {"Upload-Offset": "0"}
            assert (await store.append("ns", NAME, offset=0, size=len(DATA), chunks=parts(DATA))).complete
        else:
            state = await store.state("ns", NAME)
            assert (state.offset, state.complete) == (len(DATA), False)
            assert (await store.append("ns", NAME, offset=len(DATA), size=None, chunks=parts(b""))).complete
        assert (await store.file("ns", NAME)).read_bytes() == DATA
        database.close()

    asyncio.run(run())


def test_a_logbook_that_can_record_nothing_says_so_to_who_asks(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    try:
        assert httpx.get(f"{process.url}/v1/writable").status_code == 204
        with files_end_at(process, 1):
            refused = httpx.get(f"{process.url}/v1/writable")
            assert refused.status_code == 503
            assert "could not record" in refused.json()["error"]["message"]
        assert httpx.get(f"{process.url}/v1/writable").status_code == 204
    finally:
        process.stop()
