"""What a route, the pods of both sides and the logbook must agree on while one version is the shadow of another.

The gateway mirrors requests to the candidate and drops its answers. Each side tells the logbook what it decided, under
the id that the gateway gave the request and that its mirror keeps; there the two are joined. The route says in one
header who is the shadow, and in which step:

    x-belay-shadow: <policy>/<step>

A pod of that policy knows by it that nobody hears its answer, a pod of any other that its decision is compared. The
step is a text that is another one for each step that begins, so nothing of an earlier step is taken for this one's.

Of many requests a part is told, and both sides tell of the same: an id has a depth by chance alone, half of all ids
have depth 1 or more, a quarter 2 or more, and whoever has too many tells of the deep ones.
"""

import hashlib
import hmac
import re
import zlib
from datetime import datetime
from typing import NamedTuple

MAX_DEPTH = 32
_HEADER = re.compile(r"([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)/([0-9a-f]{1,16})")


class ShadowStep(NamedTuple):
    """Whose decisions answer nobody, and in which step."""

    policy: str
    step: str


def step_of(began: datetime) -> str:
    """Return what tells the step that began then from every other one of the rollout.

    >>> from datetime import UTC
    >>> step_of(datetime(2026, 5, 4, 10, tzinfo=UTC))
    '19df26e2d00'
    """
    return f"{round(began.timestamp() * 1000):x}"


def write_header(said: ShadowStep) -> str:
    """Return the header's value."""
    return f"{said.policy}/{said.step}"


def read_header(value: bytes | None) -> ShadowStep | None:
    """Return what the header says; None: it was not sent, or no route wrote it."""
    try:
        found = _HEADER.fullmatch(value.decode()) if value else None
    except UnicodeDecodeError:
        return None
    return None if found is None else ShadowStep(*found.groups())


def depth_of(request: bytes) -> int:
    """Return how deep a request's id is, 0 to `MAX_DEPTH`."""
    return MAX_DEPTH - zlib.crc32(request).bit_length()


def seal(body: bytes, key: bytes) -> str:
    """Return the proof that a serving pod wrote `body`.

    Args:
        key: The namespace's, `receipts.namespace_key`.
    """
    return hmac.new(key, b"belay/shadow\n" + body, hashlib.sha256).hexdigest()
