"""A training job's key: proof that a request is a pod's of that job, and what its checkpoints are sealed with.

The operator, which holds the master key, derives a key per job and mounts it into that job's pods; the logbook derives
the same one. The pods' account is the namespace's, so it cannot tell one job's pods from another's, nor from pods that
serve. The key can. It never travels; every request carries a proof of it in the header `names.PROOF_HEADER`:

    v1.<base64url of the JSON payload>.<base64url of HMAC-SHA256 over the part before, the method and the path>

The payload is [uid of the job, milliseconds since the epoch, sha256 of the body]. So who listens to a request can do no
more than send that very request once more, and soon. Every request of the store may be repeated. Bytes of an upload
are not in the proof, for the path names them by their digest.
"""

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

KEY_BYTES = 32
UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX = "v1"


class BadProof(ValueError):
    """A proof that was not made with the job's key for this request."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request proves to come from."""

    uid: str  # of the RLTrainingJob
    at: datetime  # aware UTC, by the pod's clock; millisecond precision
    body_sha256: str  # hex; of no bytes for an upload


def job_key(master: bytes, namespace: str, uid: str) -> bytes:
    """Return the key of the RLTrainingJob with that uid, derived from the master key of the installation."""
    return hmac.digest(master, f"belay/checkpoints/{namespace}/{uid}".encode(), "sha256")


def prove(key: bytes, *, uid: str, method: str, path: str, body: bytes, at: datetime) -> str:
    """Return the proof for one request as an ASCII token for a header.

    Args:
        path: Without the query.
        body: Empty for an upload.
    """
    payload = json.dumps([uid, round(at.timestamp() * 1000), hashlib.sha256(body).hexdigest()], separators=(",", ":"))
    said = f"{_PREFIX}.{_encode(payload.encode())}"
    return f"{said}.{_encode(_mac(key, said, method, path))}"


def check_proof(token: str, key_of: Callable[[str], bytes], *, method: str, path: str) -> Proof:
    """Return what a proof says. The caller judges its time and compares the body.

    Args:
        key_of: The key of the job with a uid.
    Raises: BadProof when it was not made for this request with the key of the job it names.
    """
    try:
        said, _, mac = token.rpartition(".")
        prefix, _, payload = said.partition(".")
        uid, at_ms, body_sha256 = json.loads(_decode(payload))
        proof = Proof(uid, datetime.fromtimestamp(at_ms / 1000, UTC), body_sha256)
        given = _decode(mac)
        known = prefix == _PREFIX and UID.fullmatch(uid)
    except (ValueError, TypeError, OverflowError, OSError, RecursionError) as error:
        raise BadProof("it is malformed") from error
    if not known:
        raise BadProof(f"it is not of version {_PREFIX}, or names no uid")
    if not hmac.compare_digest(given, _mac(key_of(uid), said, method, path)):
        raise BadProof(f"it was not made with the key of job {uid} for this very request")
    return proof


def _mac(key: bytes, said: str, method: str, path: str) -> bytes:
    return hmac.digest(key, f"{said}\n{method} {path}".encode(), "sha256")


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
