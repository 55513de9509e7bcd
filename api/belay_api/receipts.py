"""Receipts: proof that a decision was really served, so that nobody can poison the returns.

A serving pod signs (namespace, version, episode, step, time, rollout) with its namespace's key; the logbook, which
holds the master key, derives the same key and accepts outcomes only with a receipt of the episode's first decision.

    v2.<base64url of the JSON payload>.<base64url of HMAC-SHA256 over the part before>

Where a critic has judged the episode's first observation, what it said stands at the end of the payload and the version
is 3. So the start that the pod tells and the outcome that the client tells carry the same, and nobody can choose it.
Where the request said whose episode it is, the user's number stands before that, and the version is 4.

Version 1 had no rollout in its payload. Its receipts are read as receipts of no rollout, so that episodes which began
before an upgrade can still be reported. Nothing signs them any more (docs/decisions/014).
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from belay_api.users import USERS

_PREFIX = "v2"
_PREFIX_WITHOUT_ROLLOUT = "v1"
_PREFIX_FORESEEN = "v3"
_PREFIX_USER = "v4"
_FIELDS = {_PREFIX_WITHOUT_ROLLOUT: (5,), _PREFIX: (6,), _PREFIX_FORESEEN: (8,), _PREFIX_USER: (7, 9)}
FORESEEN_LEVELS = 5  # fifths
_BASELINE = re.compile(r"[0-9a-f]{64}")
_JSON = json.JSONEncoder(separators=(",", ":"))  # kept: json.dumps would make one per receipt
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class BadReceipt(ValueError):
    """A receipt that was not issued by a serving pod of that namespace."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a critic said of an episode's first observation."""

    baseline: str  # hex digest of the artifact whose critic it is
    level: int  # the fifth of its values that this one lies in, 0 (worst) to 4


@dataclass(frozen=True, slots=True)
class Receipt:
    """One served decision."""

    namespace: str
    version: str  # name of the RLPolicy
    episode: str  # id the client chose
    step: int  # 0 for the episode's first decision
    at: datetime  # aware UTC, when the pod answered; millisecond precision
    rollout: str | None = None  # name of the RLRollout whose route the request came through; None: through none
    foreseen: Foreseen | None = None  # None: no critic was asked, or none answered
    user: int | None = None  # number of the user whose episode it is, see `users`; None: the request did not say


def namespace_key(master: bytes, namespace: str) -> bytes:
    """Return the 32-byte signing key of `namespace`, derived from the logbook's master key."""
    return hmac.new(master, f"belay/receipts/{namespace}".encode(), hashlib.sha256).digest()


def sign(receipt: Receipt, key: bytes) -> str:
    """Return the receipt as an ASCII token for a header."""
    at_ms = round(receipt.at.timestamp() * 1000)
    said = [receipt.namespace, receipt.version, receipt.episode, receipt.step, at_ms, receipt.rollout]
    prefix = _PREFIX
    if receipt.user is not None:
        prefix, said = _PREFIX_USER, [*said, receipt.user]
    if receipt.foreseen is not None:
        prefix = prefix if receipt.user is not None else _PREFIX_FORESEEN
        said += [receipt.foreseen.baseline, receipt.foreseen.level]
    body = f"{prefix}.{_encode(_JSON.encode(said).encode())}"
    return f"{body}.{_encode(hmac.digest(key, body.encode(), 'sha256'))}"


def check(token: str, key: bytes) -> Receipt:
    """Return what the token says. Raises: BadReceipt when it was not signed with `key`."""
    try:
        prefix, payload, signature = token.split(".")
        given = _decode(signature)
    except (ValueError, binascii.Error) as error:
        raise BadReceipt("the receipt is malformed: send back the x-belay-receipt header as it came") from error
    wanted = hmac.new(key, f"{prefix}.{payload}".encode(), hashlib.sha256).digest()
    if prefix not in _FIELDS or not hmac.compare_digest(given, wanted):
        raise BadReceipt("the receipt was not issued by a serving pod of this namespace")
    fields = json.loads(_decode(payload))
    if len(fields) not in _FIELDS[prefix]:
        raise BadReceipt(f"the receipt holds {len(fields)} fields: sign what belay_api.receipts signs")
    namespace, version, episode, step, at_ms, *rest = fields
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    rollout = rest[0] if rest else None
    user = _user(rest.pop(1)) if prefix == _PREFIX_USER else None
    return Receipt(namespace, version, episode, step, at, rollout, _foreseen(rest[1:]), user)


def _user(said: Any) -> int:
    if type(said) is not int or not 0 <= said < USERS:
        raise BadReceipt(f"the receipt says of a user {said!r}: sign what belay_api.receipts signs")
    return said


def _foreseen(said: list[Any]) -> Foreseen | None:
    if not said:
        return None
    baseline, level = said
    if not (isinstance(baseline, str) and _BASELINE.fullmatch(baseline) and level in range(FORESEEN_LEVELS)):
        raise BadReceipt(f"the receipt says a critic's {said}: sign what belay_api.receipts signs")
    return Foreseen(baseline, level)


def _encode(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE).decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
