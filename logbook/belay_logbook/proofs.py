"""The proof in a request that its sender holds a key: of a training job, see `belay_api.job_keys`, or of the pods that
serve in a namespace, see `belay_api.shadowing`.
"""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from belay_api.job_keys import BadProof, Proof, check_proof, job_key
from belay_api.names import PROOF_HEADER, RECEIPT_MASTER_SECRET, SEAL_HEADER
from belay_api.shadowing import seal
from belay_logbook.errors import Forbidden, Unauthorized

SKEW = timedelta(minutes=5)
"""How far a pod's clock may be from ours, as on a node without time service. For as long, whoever listens can repeat a
request; each request of the store may be repeated."""


def read_proof(request: Request, namespace: str, master_key: bytes) -> Proof | None:
    """Return what the request proves; None: it does not claim to come from a training pod.

    Raises: Forbidden for a proof with another key; Unauthorized for one of another time, which a later one may mend.
    """
    token = request.headers.get(PROOF_HEADER)
    if token is None:
        return None
    try:
        proof = check_proof(
            token, lambda uid: job_key(master_key, namespace, uid), method=request.method, path=request.url.path
        )
    except BadProof as error:
        raise Forbidden(
            f"{PROOF_HEADER}: {error}. The Secret that the pod mounts was not made by Belay, or Secret "
            f"{RECEIPT_MASTER_SECRET} was replaced since: create the RLTrainingJob again"
        ) from error
    now = datetime.now(UTC)
    if abs(now - proof.at) > SKEW:
        raise Unauthorized(
            f"{PROOF_HEADER}: made at {proof.at:%H:%M:%S} by the pod's clock, here it is {now:%H:%M:%S} UTC: set the "
            "clock of the node that is wrong"
        )
    return proof


def check_body(proof: Proof | None, body: bytes) -> None:
    """Refuse a body that the proof was not made for. Raises: Forbidden."""
    if proof is not None and proof.body_sha256 != hashlib.sha256(body).hexdigest():
        raise Forbidden(f"{PROOF_HEADER}: it was made for another body")


def check_seal(request: Request, body: bytes, key: bytes) -> None:
    """Refuse a body that no serving pod of the namespace wrote.

    Args:
        key: The namespace's receipt key.
    Raises: Forbidden.
    """
    if not hmac.compare_digest(request.headers.get(SEAL_HEADER, "").encode(), seal(body, key).encode()):
        raise Forbidden(f"{SEAL_HEADER}: no serving pod of this namespace wrote this: the pods that serve tell of it")
