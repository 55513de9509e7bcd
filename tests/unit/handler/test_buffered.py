"""The same requests come out, however the bytes arrive."""

import socket
import struct
import threading

import pytest

from belay_handler.buffered import Reader

REQUESTS = [
    {
        "requestId": f"id-{index}".encode(),
        "headers": [{"name": b"Host", "value": b"x"}, {"name": b"x-empty", "value": b""}],
        "parameters": [{"name": "body", "contentType": "application/json", "value": b"{}" * index}],
    }
    for index in range(5)
] + [{"requestId": b"bare", "headers": [], "parameters": []}]


def _text(value: bytes | str) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return struct.pack("!i", len(content)) + content


def encoded() -> bytes:
    end = struct.pack("!i", -1)
    message = b""
    for request in REQUESTS:
        message += _text(request["requestId"])
        message += b"".join(_text(header["name"]) + _text(header["value"]) for header in request["headers"]) + end
        for one in request["parameters"]:
            message += _text(one["name"]) + _text(one["contentType"]) + _text(one["value"])
        message += end
    return message + end


@pytest.mark.parametrize("piece", [1, 3, 7, 64, 10_000])
def test_requests_are_the_same_in_pieces_of_any_size(piece: int) -> None:
    ours, theirs = socket.socketpair()
    message = encoded() * 3 + b"I"

    def send() -> None:
        for start in range(0, len(message), piece):
            theirs.sendall(message[start : start + piece])

    with ours, theirs:
        sender = threading.Thread(target=send)
        sender.start()
        reader = Reader()
        batches = []
        for _ in range(3):
            batch = []
            while (request := reader.request(ours)) is not None:
                batch.append(request)
            batches.append(batch)
        command = reader.field(ours, 1)
        sender.join()

    assert batches == [REQUESTS] * 3
    assert command == b"I"


def test_a_frontend_that_is_gone_ends_the_worker() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"\x00\x00")
        theirs.close()
        with pytest.raises(SystemExit):
            Reader().number(ours)
