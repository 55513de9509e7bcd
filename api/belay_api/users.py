"""A user's number: what a rollout that assigns by user tells users apart by, and all that is told of them.

    number   the first 56 bits of SHA-256 of her key, in decimal: two of a million users share one once in 100,000 times
    tens     its last digit but one, and
    ones     its last digit, each in a header of its own: a gateway compares headers with fixed texts, so these two are
             what it assigns by

The key stays with the client. Whoever has a list of keys can compute their numbers, so a key should be nobody's name or
address but an id that says nothing elsewhere.
"""

import hashlib
import re

from belay_api.names import USER_HEADER, USER_ONES_HEADER, USER_TENS_HEADER

USERS = 1 << 56
DIGITS = "0123456789"
_NUMBER = re.compile(rb"[0-9]{2,17}")


class BadUser(ValueError):
    """Headers that are no user's."""


def number_of(key: str) -> int:
    """Return the number of the user with that key. Raises: ValueError for an empty key, which would make all one."""
    if not key:
        raise ValueError("the key of a user is empty: give what tells users apart, or leave it out")
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")


def write_headers(number: int) -> dict[str, str]:
    """Return the headers of the first decision of a user's episode."""
    text = f"{number:02d}"
    return {USER_HEADER: text, USER_TENS_HEADER: text[-2], USER_ONES_HEADER: text[-1]}


def read_headers(number: bytes | None, tens: bytes | None, ones: bytes | None) -> int | None:
    """Return the user that the values of the three headers say; None: none was sent.

    Raises: BadUser where the gateway went by other digits than the number's, or there is no number.
    """
    if number is None and tens is None and ones is None:
        return None
    if number is None or not _NUMBER.fullmatch(number) or int(number) >= USERS:
        raise BadUser(
            f"{USER_HEADER} is {_shown(number)}; wanted the first 56 bits of SHA-256 of the user's key, in decimal, at "
            "least two digits"
        )
    if (tens, ones) != (number[-2:-1], number[-1:]):
        raise BadUser(
            f"{USER_TENS_HEADER} is {_shown(tens)} and {USER_ONES_HEADER} is {_shown(ones)}; wanted the last two "
            f"digits of {USER_HEADER}, {number[-2:].decode()}, one in each"
        )
    return int(number)


def _shown(value: bytes | None) -> str:
    return "missing" if value is None else repr(value[:40].decode(errors="replace"))
