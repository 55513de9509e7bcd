"""A proof fits one job of one namespace, one request, one body and one moment."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest

from belay_api.job_keys import KEY_BYTES, BadProof, check_proof, job_key, prove
from belay_api.receipts import namespace_key

MASTER = bytes(range(32))
UID = "11111111-2222-3333-4444-555555555555"
AT = datetime(2026, 5, 4, 10, 0, 0, 123_000, tzinfo=UTC)
PATH = f"/v1/namespaces/team-a/checkpoints/{UID}/0/100"
KEY = job_key(MASTER, "team-a", UID)


def test_every_job_has_a_key_of_its_own_and_none_is_a_receipt_key() -> None:
    keys = {job_key(MASTER, namespace, uid) for namespace in ("team-a", "team-b") for uid in (UID, "other")}
    keys |= {namespace_key(MASTER, namespace) for namespace in ("team-a", f"team-a/{UID}")}
    assert len(keys) == 6
    assert {len(key) for key in keys} == {KEY_BYTES}


def test_a_proof_says_who_when_and_what() -> None:
    token = prove(KEY, uid=UID, method="PUT", path=PATH, body=b"{}", at=AT)
    proof = check_proof(token, lambda uid: job_key(MASTER, "team-a", uid), method="PUT", path=PATH)
    assert (proof.uid, proof.at, proof.body_sha256) == (UID, AT, hashlib.sha256(b"{}").hexdigest())


def test_a_proof_has_the_form_that_is_written_down() -> None:
    """Trainer images and logbooks of other versions read and write it too."""
    said = json.dumps([UID, 1777888800123, hashlib.sha256(b"").hexdigest()], separators=(",", ":"))
    head = "v1." + base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")
    mac = hmac.new(KEY, f"{head}\nGET {PATH}".encode(), hashlib.sha256).digest()
    token = head + "." + base64.urlsafe_b64encode(mac).decode().rstrip("=")
    assert prove(KEY, uid=UID, method="GET", path=PATH, body=b"", at=AT) == token


@pytest.mark.parametrize(
    ("key", "method", "path"),
    [
        pytest.param(job_key(MASTER, "team-b", UID), "GET", PATH, id="another namespace's job of that uid"),
        pytest.param(job_key(MASTER, "team-a", "other"), "GET", PATH, id="another job's key"),
        pytest.param(namespace_key(MASTER, "team-a"), "GET", PATH, id="the key of serving pods"),
        pytest.param(KEY, "DELETE", PATH, id="another method"),
        pytest.param(KEY, "GET", PATH + "0", id="another timestep"),
    ],
)
def test_a_proof_with_another_key_or_for_another_request_is_none(key: bytes, method: str, path: str) -> None:
    token = prove(key, uid=UID, method="GET", path=PATH, body=b"", at=AT)
    with pytest.raises(BadProof, match="not made with the key of job 11111111"):
        check_proof(token, lambda uid: job_key(MASTER, "team-a", uid), method=method, path=path)


def test_nothing_of_a_proof_can_be_changed() -> None:
    token = prove(KEY, uid=UID, method="GET", path=PATH, body=b"", at=AT)
    later = prove(KEY, uid=UID, method="GET", path=PATH, body=b"", at=AT + timedelta(hours=1))
    mixed = later.rpartition(".")[0] + "." + token.rpartition(".")[2]
    for forged in (mixed, "v2" + token[2:], token[:-4], token.rpartition(".")[0], "", ".", "v1..", token + "\u00e9"):
        with pytest.raises(BadProof):
            check_proof(forged, lambda uid: KEY, method="GET", path=PATH)


@pytest.mark.parametrize("payload", ["null", "[]", '["u"]', '["u",null,""]', '["u",1e400,""]', '["../u",0,""]', "[7]"])
def test_what_is_no_payload_is_no_proof(payload: str) -> None:
    head = "v1." + base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")
    mac = base64.urlsafe_b64encode(hmac.digest(KEY, f"{head}\nGET {PATH}".encode(), "sha256")).decode()
    with pytest.raises(BadProof):
        check_proof(f"{head}.{mac}", lambda uid: KEY, method="GET", path=PATH)
