"""Read TorchServe's requests from its socket in large pieces.

The worker asks the kernel for every length and every field by itself: forty calls per request, which in a batch cost
more than deciding what to do. Here one call fetches what is there and the fields are cut out of it. This replaces three
private functions of a library that does not change any more; for any other version than the one they were written
against, nothing is replaced.
"""

import logging
import socket
import struct
import sys
from typing import Any

VERSION = "0.12.0"
_PIECE = 1 << 18
_INT = struct.Struct("!i")


class Reader:
    """TorchServe's wire format, read from one connection."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def field(self, connection: socket.socket, length: int) -> bytes:
        """Return the next `length` bytes; ends the process when the frontend is gone, as TorchServe does."""
        end = self._at + length
        if end > len(self._data):
            self._fill(connection, length)
            end = length
        start, self._at = self._at, end
        return self._data[start:end]

    def number(self, connection: socket.socket) -> int:
        """Return the next length; -1 ends a list."""
        if self._at + 4 > len(self._data):
            self._fill(connection, 4)
        (value,) = _INT.unpack_from(self._data, self._at)
        self._at += 4
        return int(value)

    def request(self, connection: socket.socket) -> dict[str, Any] | None:
        """Return the next request of a batch; None at its end."""
        length = self.number(connection)
        if length == -1:
            return None
        field, number = self.field, self.number
        request: dict[str, Any] = {"requestId": field(connection, length)}
        headers: list[dict[str, bytes]] = []
        while (length := number(connection)) != -1:
            name = field(connection, length)
            headers.append({"name": name, "value": field(connection, number(connection))})
        parameters: list[dict[str, Any]] = []
        while (length := number(connection)) != -1:
            name = field(connection, length)
            kind = field(connection, number(connection))
            value = field(connection, number(connection))
            parameters.append({"name": name.decode(), "contentType": kind.decode(), "value": value})
        return request | {"headers": headers, "parameters": parameters}

    def _fill(self, connection: socket.socket, length: int) -> None:
        """Make at least `length` bytes available from `_at`, which becomes 0."""
        pieces, have = [self._data[self._at :]], len(self._data) - self._at
        while have < length:
            piece = connection.recv(_PIECE)
            if not piece:
                logging.info("Frontend disconnected.")
                sys.exit(0)
            pieces.append(piece)
            have += len(piece)
        self._data, self._at = b"".join(pieces), 0


def install() -> bool:
    """Replace TorchServe's readers; False, and nothing done, for a version they were not written against.

    Call it while nothing is in flight: between the load command and its answer.
    """
    import ts  # noqa: PLC0415  only in a worker
    from ts.protocol import otf_message_handler  # noqa: PLC0415

    if ts.__version__ != VERSION:
        return False
    reader = Reader()
    otf_message_handler._retrieve_buffer = reader.field
    otf_message_handler._retrieve_int = reader.number
    otf_message_handler._retrieve_request = reader.request
    return True
