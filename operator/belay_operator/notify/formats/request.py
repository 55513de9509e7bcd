"""What a format answers: a request to be sent as it stands."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from belay_operator.notify.event import Event
from belay_operator.notify.receivers import URL_PATTERN, Credentials, Receiver


class Incomplete(ValueError):
    """A receiver cannot be told until its Secret says more; the message says what."""


@dataclass(frozen=True, slots=True)
class Request:
    """One POST."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Write = Callable[[Event, Receiver, Credentials, datetime], Request]
"""(event, receiver, its credentials, now) -> the request. Pure. Raises: Incomplete."""


def address(receiver: Receiver, credentials: Credentials, default: str | None = None) -> str:
    """Return where a receiver is. Raises: Incomplete."""
    url = receiver.url or credentials.keys.get("url") or default
    if url is None:
        raise Incomplete(f"Secret {receiver.secret} is not there, or has no key url")
    if re.match(URL_PATTERN, url) is None:
        raise Incomplete(f"key url of Secret {receiver.secret} is no http or https address")
    return url


def encoded(value: Any) -> bytes:
    """Return JSON as it is kept, signed and sent."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
