"""A user's number is what anybody computes from the documented lines, and headers that disagree are found out."""

import hashlib

import pytest

from belay_api.users import USERS, BadUser, number_of, read_headers, write_headers


def test_anybody_computes_the_number_without_the_library() -> None:
    assert number_of("alice") == int(hashlib.sha256(b"alice").hexdigest()[:14], 16) == 12340947660508672
    assert write_headers(number_of("alice")) == {
        "x-belay-user": "12340947660508672",
        "x-belay-user-tens": "7",
        "x-belay-user-ones": "2",
    }
    assert number_of("Zoë") != number_of("Zoe")
    with pytest.raises(ValueError, match="empty"):
        number_of("")


@pytest.mark.parametrize("number", [0, 5, 10, 99, 100, USERS - 1])
def test_headers_read_back(number: int) -> None:
    assert read_headers(*(value.encode() for value in write_headers(number).values())) == number


def test_the_last_two_digits_are_spread_evenly() -> None:
    tens, ones = zip(
        *(list(write_headers(number_of(f"user-{one}")).values())[1:] for one in range(20_000)), strict=True
    )
    for digits in (tens, ones):
        chi_square = sum((digits.count(digit) - 2000) ** 2 / 2000 for digit in "0123456789")
        assert chi_square < 33.7, "nine degrees of freedom: once in 10,000"


def test_who_sends_nothing_is_nobody() -> None:
    assert read_headers(None, None, None) is None


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ((b"alice", b"3", b"9"), "'alice'"),
        ((b"7", b"0", b"7"), "two digits"),
        ((b"", b"0", b"7"), "two digits"),
        ((None, b"3", b"9"), "missing"),
        ((str(USERS).encode(), b"3", b"6"), "56 bits"),
        ((b"1239", b"9", b"3"), "39, one in each"),
        ((b"1239", None, None), "missing"),
        ((b"1239", b"3", b"39"), "'39'"),
        (("१२".encode(), b"1", b"2"), "wanted"),
    ],
)
def test_headers_that_are_no_users_say_why(headers: tuple[bytes | None, ...], why: str) -> None:
    with pytest.raises(BadUser, match=why):
        read_headers(*headers)
