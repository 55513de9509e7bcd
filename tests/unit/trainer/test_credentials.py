"""What a training pod shows the logbook: its token, and for each request a proof of its job's key."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from trainer_support import free_port, until

from belay_api.job_keys import check_proof, job_key
from belay_api.names import PROOF_HEADER
from belay_logbook.app import Logbook, make_app
from belay_logbook.auth import Gate, KeyFile
from belay_logbook.db import Database
from belay_logbook.settings import Settings
from belay_logbook.tokenreview import Account
from belay_trainer.errors import StoreRefused
from belay_trainer.files import reference
from belay_trainer.logbook import connect
from belay_trainer.store.logbook import LogbookStore

KEY, UID, MASTER = b"k" * 32, "11111111-2222", b"m" * 32
BLOB = bytes(1_000_000)  # several chunks of an upload


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    """What arrives at a logbook that takes everything."""
    arrived: list[httpx.Request] = []

    def answer(_: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        request.read()
        arrived.append(request)
        return httpx.Response({"HEAD": 404, "PATCH": 201}.get(request.method, 200), json={"items": []})

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", answer)
    return arrived


def test_every_request_proves_the_key_and_what_it_says(tmp_path: Path, requests: list[httpx.Request]) -> None:
    (tmp_path / "token").write_text("token\n")
    store = LogbookStore(
        connect("http://logbook", tmp_path / "token", key=KEY, uid=UID), namespace="team-a", seed=f"{UID}/0"
    )
    ref = reference(7, BLOB)
    store.checkpoints()
    store.save(ref, BLOB)
    store.load(ref)
    store.delete(ref)

    assert [request.method for request in requests] == ["GET", "HEAD", "PATCH", "PUT", "GET", "DELETE"]
    for request in requests:
        proof = check_proof(
            request.headers[PROOF_HEADER], lambda uid: KEY, method=request.method, path=request.url.path
        )
        assert request.headers["Authorization"] == "Bearer token"
        assert proof.uid == UID
        sent = b"" if request.method == "PATCH" else request.content
        assert proof.body_sha256 == reference(0, sent).sha256
    assert requests[2].content == BLOB, "still streamed whole"


def test_a_pod_without_a_key_proves_nothing(tmp_path: Path, requests: list[httpx.Request]) -> None:
    LogbookStore(connect("http://logbook", tmp_path / "none"), namespace="team-a", seed=f"{UID}/0").checkpoints()
    assert PROOF_HEADER not in requests[0].headers
    assert "Authorization" not in requests[0].headers


class EveryToken:
    """An API server that takes every token for one of the namespace's account."""

    async def account(self, token: str) -> Account:
        return Account("system:serviceaccount:team-a:default", None)


@pytest.fixture
def closed_logbook(tmp_path: Path) -> Iterator[str]:
    """The address of a real logbook that knows accounts and keys."""
    settings = Settings(
        data=tmp_path, host="127.0.0.1", port=free_port(), master_key=MASTER, api_keys=None, operators=frozenset(),
        api_server=None, open_to_all=False,
    )  # fmt: skip
    database = Database(tmp_path / "logbook.db")
    logbook = Logbook(settings, database)
    logbook.gate = Gate(EveryToken(), KeyFile(None), frozenset(), master_key=MASTER, open_to_all=False)
    config = uvicorn.Config(make_app(logbook), host=settings.host, port=settings.port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, 30)
    yield f"http://127.0.0.1:{settings.port}"
    server.should_exit = True
    thread.join()
    database.close()


def test_a_logbook_that_asks_for_proofs_takes_those_of_the_job_and_no_others(
    tmp_path: Path, closed_logbook: str
) -> None:
    (tmp_path / "token").write_text("token")

    def store(uid: str, key: bytes | None) -> LogbookStore:
        client = connect(closed_logbook, tmp_path / "token", key=key, uid=uid)
        return LogbookStore(client, namespace="team-a", seed=f"{UID}/0")

    mine, ref = store(UID, job_key(MASTER, "team-a", UID)), reference(7, BLOB)
    mine.save(ref, BLOB)
    assert mine.checkpoints() == [ref]
    assert mine.load(ref) == BLOB
    for other in (store("other", job_key(MASTER, "team-a", "other")), store(UID, KEY), store(UID, None)):
        for forbidden in (other.checkpoints, lambda o=other: o.load(ref), lambda o=other: o.delete(ref)):
            with pytest.raises(StoreRefused, match="403"):
                forbidden()
    mine.delete(ref)
    assert mine.checkpoints() == []
