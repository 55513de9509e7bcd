"""The same requests come out, however the bytes arrive; what goes in is what TorchServe reads."""

import io
import socket
import struct
import threading

import pytest

from belay_handler.frames import FrameReader, answers
from belay_handler.server import Answer, Ask

HEADERS = [(b"Host", b"x"), (b"x-empty", b"")]
JSON_HEADERS = [*HEADERS, (b"Content-Type", b"application/json")]
FORM_HEADERS = [*HEADERS, (b"CONTENT-TYPE", b"application/x-www-form-urlencoded")]
ROUTE_HEADERS = [(b"X-Belay-Policy", b"p"), (b"X-Belay-Rollout", b"shop"), *JSON_HEADERS, (b"x-belay-receipt", b"r")]
BASELINE_HEADERS = [(b"X-Belay-Baseline", b"0f"), (b"x-belay-rollout", b"shop")]
SHADOW_HEADERS = [(b"X-Request-Id", b"4f-1"), (b"X-Belay-Shadow", b"new/1f"), (b"x-belay-rollout", b"shop")]
USER_HEADERS = [(b"x-belay-user", b"1239"), (b"X-Belay-User-Tens", b"3"), (b"x-belay-user-ones", b"9")]
BODY = [(b"body", b"application/json", b"{}")]
# (id, headers, parameters) as TorchServe sends them
REQUESTS = [
    *[(f"id-{size}".encode(), JSON_HEADERS, [(b"body", b"application/json", b"{}" * size)]) for size in range(5)],
    (b"get", HEADERS, []),
    (b"bare", [], []),
    (b"empty-form", FORM_HEADERS, []),
    (b"form", FORM_HEADERS, [(b"observation", b"text/plain", b"1"), (b"b", b"", b"")]),
    (b"body-in-form", FORM_HEADERS, [(b"a", b"", b""), (b"body", b"", b"{}"), (b"z", b"", b"")]),
    (b"route", ROUTE_HEADERS, BODY),
    (b"baseline", BASELINE_HEADERS, BODY),
    (b"shadow", SHADOW_HEADERS, BODY),
    (b"user", USER_HEADERS, BODY),
    (b"no-name", [(b"x-belay-rollout", b"")], BODY),
    (b"not-the-route", [(b"x-belay-rollouts", b"a"), (b"y-belay-rollout", b"b")], BODY),
]
RECEIVED = [(f"id-{size}".encode(), Ask(b"{}" * size)) for size in range(5)] + [
    (b"get", Ask(None)),
    (b"bare", Ask(None)),
    (b"empty-form", Ask(b"a form")),
    (b"form", Ask(b"a form")),
    (b"body-in-form", Ask(b"{}")),
    (b"route", Ask(b"{}", b"shop")),
    (b"baseline", Ask(b"{}", b"shop", b"0f")),
    (b"shadow", Ask(b"{}", b"shop", None, b"new/1f", b"4f-1")),
    (b"user", Ask(b"{}", user=b"1239", tens=b"3", ones=b"9")),
    (b"no-name", Ask(b"{}", b"")),
    (b"not-the-route", Ask(b"{}")),
]


def _field(content: bytes) -> bytes:
    return struct.pack("!i", len(content)) + content


def encoded() -> bytes:
    end = struct.pack("!i", -1)
    message = b""
    for name, headers, parameters in REQUESTS:
        message += _field(name)
        message += b"".join(_field(text) for header in headers for text in header) + end
        message += b"".join(_field(text) for parameter in parameters for text in parameter) + end
    return message + end


@pytest.mark.parametrize("piece", [1, 3, 7, 64, 10_000])
def test_requests_are_the_same_in_pieces_of_any_size(piece: int) -> None:
    ours, theirs = socket.socketpair()
    message = (b"I" + encoded()) * 3

    def send() -> None:
        for start in range(0, len(message), piece):
            theirs.sendall(message[start : start + piece])

    with ours, theirs:
        sender = threading.Thread(target=send)
        sender.start()
        reader = FrameReader()
        found = [(reader.field(ours, 1), reader.batch(ours)) for _ in range(3)]
        sender.join()

    assert found == [(b"I", RECEIVED)] * 3


def test_a_frontend_that_is_gone_ends_the_worker() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"\x00\x00")
        theirs.close()
        with pytest.raises(SystemExit):
            FrameReader().batch(ours)


def test_each_answer_goes_out_under_its_id_with_its_status_and_headers() -> None:
    found = [Answer(200, b'{"action":1}', receipt="v1.a.b"), Answer(400, b'{"error":1}'), Answer(200, b"")]

    message = io.BytesIO(answers("cartpole-1", {0: b"first", 1: b"second", 2: b"third"}, found))

    assert (_number(message), _text(message)) == (200, "")
    policy = {"x-belay-policy": "cartpole-1"}
    assert [_answer(message) for _ in found] == [
        ("first", "application/json", 200, "", policy | {"x-belay-receipt": "v1.a.b"}, '{"action":1}'),
        ("second", "application/json", 400, "", policy, '{"error":1}'),
        ("third", "application/json", 200, "", policy, ""),
    ]
    assert (_number(message), message.read()) == (-1, b"")


def _answer(message: io.BytesIO) -> tuple[str, str, int, str, dict[str, str], str]:
    """Read one answer as TorchServe's frontend does."""
    name, content_type, status, phrase = _text(message), _text(message), _number(message), _text(message)
    headers = {_text(message): _text(message) for _ in range(_number(message))}
    return name, content_type, status, phrase, headers, _text(message)


def _number(message: io.BytesIO) -> int:
    return struct.unpack("!i", message.read(4))[0]


def _text(message: io.BytesIO) -> str:
    return message.read(_number(message)).decode()
