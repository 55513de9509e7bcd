"""What a training pod shows the logbook: its token, and for each request a proof of its job's key."""

from pathlib import Path

import httpx
import pytest

from belay_api.job_keys import check_proof
from belay_api.names import PROOF_HEADER
from belay_trainer.files import reference
from belay_trainer.logbook import connect
from belay_trainer.store.logbook import LogbookStore

KEY, UID = b"k" * 32, "11111111-2222"
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
