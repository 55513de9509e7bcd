"""The master receipt key: made once per installation, kept as a Secret, shared with the logbook.

Serving pods never see it: each namespace gets a key derived from it (`belay_api.receipts.namespace_key`).
"""

import base64
import secrets
from typing import Any

from belay_api import names
from belay_operator.engine.client import Client
from belay_operator.engine.errors import Conflict

KEY = "key"
BYTES = 32


class BadReceiptKey(Exception):
    """The Secret exists but does not hold a key."""


async def ensure(client: Client, namespace: str) -> bytes:
    """Return the master key of the installation in `namespace`, made now if there is none.

    Raises: BadReceiptKey when the Secret holds something else; ApiError.
    """
    found = await client.get("Secret", namespace, names.RECEIPT_MASTER_SECRET)
    if found is None:
        made: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": names.RECEIPT_MASTER_SECRET,
                "namespace": namespace,
                "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
            },
            "type": "Opaque",
            "data": {KEY: base64.b64encode(secrets.token_bytes(BYTES)).decode()},
        }
        try:
            found = await client.create(made)
        except Conflict:  # another replica was faster: its key is the one
            found = await client.get("Secret", namespace, names.RECEIPT_MASTER_SECRET) or made
    key = base64.b64decode((found.get("data") or {}).get(KEY, ""))
    if len(key) != BYTES:
        raise BadReceiptKey(
            f"Secret {namespace}/{names.RECEIPT_MASTER_SECRET}: `{KEY}` has {len(key)} bytes, wanted {BYTES}. "
            "Belay does not start, because every receipt would be refused. Delete the Secret; Belay makes a new one."
        )
    return key
