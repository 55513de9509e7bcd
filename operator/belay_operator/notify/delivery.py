"""Send one event to one receiver, once, and say what its answer means.

A receiver that is not well is asked again later, with everything that waits for it: no answer, a redirect, 401, 403,
404, 408, 425, 429 and every 5xx. One that calls this event wrong (400, 410, 413, 415, 422) would call it so again.
"""

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import aiohttp

from belay_operator.notify.event import Event
from belay_operator.notify.formats import WRITES
from belay_operator.notify.formats.request import Incomplete
from belay_operator.notify.receivers import Credentials, Receiver

WITHIN = timedelta(seconds=15)  # for a whole try; what Standard Webhooks advises at least
LONGEST_RETRY_AFTER = timedelta(hours=1)  # a longer wish is not heard: its clock may be wrong
_WRONG = frozenset({400, 410, 413, 415, 422})
_UNWELL = frozenset({502, 503, 504})  # said by what stands before a receiver, of no event in particular
_QUOTED = 200  # characters of an answer


class End(StrEnum):
    """What became of one try."""

    SENT = "sent"
    REFUSED = "refused"
    """Another try cannot help."""
    FAILED = "failed"
    """Later perhaps; the receiver answered about this event."""
    DOWN = "down"
    """Later perhaps; the receiver did not come to look at this event."""


@dataclass(frozen=True, slots=True)
class Try:
    """One try, and how it ended."""

    end: End
    words: str = ""
    retry_after: timedelta = timedelta()


async def send(http: aiohttp.ClientSession, receiver: Receiver, event: Event, now: datetime, folder: Path) -> Try:
    """Return how one try ended. What is outside never raises."""
    credentials = Credentials.read(receiver, folder)
    try:
        request = WRITES[receiver.format](event, receiver, credentials, now)
        tls: ssl.SSLContext | bool = _trusting(credentials.keys["ca.crt"]) if "ca.crt" in credentials.keys else True
    except Incomplete as error:
        return Try(End.DOWN, str(error))
    except ssl.SSLError as error:
        return Try(End.DOWN, f"key ca.crt of Secret {receiver.secret} is no certificate: {error.reason or error}")
    try:
        async with http.post(
            request.url,
            data=request.body,
            headers=request.headers,
            timeout=aiohttp.ClientTimeout(total=WITHIN.total_seconds()),
            allow_redirects=False,  # the token and the signature are meant for this address
            ssl=tls,
        ) as answer:
            text = (await answer.content.read(4 * _QUOTED)).decode(errors="replace")[:_QUOTED]
            return _meaning(answer.status, answer.headers, text, now)
    except TimeoutError:
        return Try(End.DOWN, f"no answer within {WITHIN.total_seconds():g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: what cannot stand in a header
        return Try(End.DOWN, _without(request.url, str(error) or type(error).__name__))


def _meaning(status: int, headers: Mapping[str, str], text: str, now: datetime) -> Try:
    if 200 <= status < 300:
        return Try(End.SENT)
    words = " ".join(f"HTTP {status} {text}".split())
    if status in _WRONG:
        return Try(End.REFUSED, words)
    about_the_event = status >= 500 and status not in _UNWELL
    return Try(End.FAILED if about_the_event else End.DOWN, words, _retry_after(headers, now))


def _retry_after(headers: Mapping[str, str], now: datetime) -> timedelta:
    """How long a receiver asks to be left alone, in either form of the header."""
    text, wanted = headers.get("Retry-After", ""), timedelta()
    with contextlib.suppress(ValueError, OverflowError, TypeError):
        if text.strip().isdigit():
            wanted = timedelta(seconds=int(text))
        elif text:
            at = parsedate_to_datetime(text)
            wanted = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(wanted, timedelta()), LONGEST_RETRY_AFTER)


@lru_cache(maxsize=16)
def _trusting(certificates: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificates)


def _without(url: str, words: str) -> str:
    """The words without the address: a Slack webhook's is a secret."""
    return words.replace(url, "the address")
