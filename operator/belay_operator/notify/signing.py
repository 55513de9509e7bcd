"""Sign a request as Standard Webhooks 1.0.0 says, so that any of its libraries can check who sent it.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme"
and "Webhook headers"; the symmetric scheme `v1`, HMAC-SHA256 over `id.timestamp.body`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

PREFIX = "whsec_"
LEAST, MOST = 24, 64  # bytes of a key, by the specification


class BadKey(ValueError):
    """What the Secret has for a key cannot be one."""


def keys_of(text: str) -> list[bytes]:
    """Return the keys in `text`, one a word: two while one is exchanged for the other. Raises: BadKey."""
    found = []
    for word in text.split():
        try:
            key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise BadKey(f"signing-key is no base64 after {PREFIX}") from None
        if not LEAST <= len(key) <= MOST:
            raise BadKey(f"signing-key has {len(key)} bytes, wanted {LEAST} to {MOST}: openssl rand -base64 32")
        found.append(key)
    if not found:
        raise BadKey("signing-key is empty")
    return found


def signed(event_id: str, body: bytes, keys: Sequence[bytes], now: datetime) -> dict[str, str]:
    """Return the headers of one try; the timestamp is the try's, not the event's."""
    timestamp = str(int(now.timestamp()))
    content = b".".join((event_id.encode(), timestamp.encode(), body))
    signatures = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
    }
