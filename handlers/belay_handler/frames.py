"""TorchServe's worker protocol: requests cut out of large pieces, answers joined at once.

TorchServe's own worker asks the kernel for every length and every field, forty calls per request, and makes a dozen
objects of each: in a batch that cost more than deciding what to do. Here one call fetches what is there, a request is
its id and its body, and an answer goes out as six pieces. This replaces private functions of a library that does not
change any more, and so it is held to the one version they were written against.
"""

import logging
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from belay_api import names
from belay_handler.server import Answer, Ask

VERSION = "0.12.0"
_PIECE = 1 << 18
_INT = struct.Struct("!i")
_NO_JSON = b"a form"  # stands for one; the JSON parser refuses it
_CONTENT_TYPE = b"content-type"
_TOLD = {  # headers, and what of an `Ask` they are
    names.ROLLOUT_HEADER.encode(): "rollout",
    names.BASELINE_HEADER.encode(): "baseline",
    names.SHADOW_HEADER.encode(): "shadow",
    names.REQUEST_ID_HEADER.encode(): "request",
    names.USER_HEADER.encode(): "user",
    names.USER_TENS_HEADER.encode(): "tens",
    names.USER_ONES_HEADER.encode(): "ones",
}
# A header of another length is passed over unread.
_HEADER_LENGTHS = set(map(len, (_CONTENT_TYPE, *_TOLD)))

Received = tuple[bytes, Ask]
"""A request's id and what it asks."""


class _Short(Exception):
    """The data ends before byte `end`, which has to be there to go on."""

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end


class FrameReader:
    """Reads one connection."""

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

    def batch(self, connection: socket.socket) -> list[Received]:
        """Return the requests of the next batch."""
        received: list[Received] = []
        while True:
            try:
                request, self._at = _request(self._data, self._at)
            except _Short as short:
                self._fill(connection, short.end - self._at)
                continue
            if request is None:
                return received
            received.append(request)

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


def answers(policy: str, ids: Mapping[int, bytes], found: list[Answer]) -> bytes:
    """Return the message that answers a batch.

    Args:
        policy: The version that acted, for the header of each.
        ids: Of each request, by its place.
    """
    pieces = [_INT.pack(200), _field("")]
    for place, answer in enumerate(found):
        pieces += (_INT.pack(len(ids[place])), ids[place], _head(policy, answer.status, receipt=bool(answer.receipt)))
        if answer.receipt:
            pieces.append(_field(answer.receipt))
        pieces += (_INT.pack(len(answer.body)), answer.body)
    pieces.append(_INT.pack(-1))
    return b"".join(pieces)


def install(policy: str) -> None:
    """Put these readers and this writer in the place of TorchServe's.

    The entry point is then handed an `Ask` per request, and returns an `Answer` for each. A batch that fails as a whole
    is still answered by TorchServe. Call it while nothing is in flight: between the load command and its answer.
    Raises: RuntimeError for a version they were not written against.
    """
    import ts  # noqa: PLC0415  only in a worker
    from ts import service  # noqa: PLC0415
    from ts.protocol import otf_message_handler  # noqa: PLC0415

    if ts.__version__ != VERSION:
        raise RuntimeError(f"this is TorchServe {ts.__version__}, whose workers may speak otherwise than {VERSION}'s")
    reader = FrameReader()
    otf_message_handler._retrieve_buffer = reader.field
    otf_message_handler._retrieve_inference_msg = reader.batch
    service.Service.retrieve_data_for_inference = staticmethod(_split)
    service.create_predict_response = _writer(policy, failed=service.create_predict_response)


def _request(data: bytes, at: int) -> tuple[Received | None, int]:
    """Return the request that begins at `at`, None at the batch's end, and where the next one begins. Raises: _Short.

    One function without helpers: it runs through every field of every request.
    """
    number = _INT.unpack_from
    try:
        (length,) = number(data, at)
        at += 4
        if length == -1:
            return None, at
        name = data[at : at + length]
        at += length
        form, said = False, {}
        while (length := number(data, at)[0]) != -1:  # headers: name, value
            at += 4
            header = data[at : at + length].lower() if length in _HEADER_LENGTHS else None
            at += length
            (length,) = number(data, at)
            at += 4
            if header == _CONTENT_TYPE:
                form = form or b"form" in data[at : at + length]
            elif header in _TOLD:
                said[_TOLD[header]] = data[at : at + length]
            at += length
        at += 4
        body = None
        while (length := number(data, at)[0]) != -1:  # parameters: name, content type, value
            at += 4
            whole = data[at : at + length] == b"body"
            at += length
            at += 4 + number(data, at)[0]
            (length,) = number(data, at)
            at += 4
            if whole:
                body = data[at : at + length]
            else:
                form = True
            at += length
        at += 4
    except struct.error:  # every request ends with a number, so whatever is cut off is noticed by one
        raise _Short(at + 4) from None
    # TorchServe tells a GET from a form without fields (`curl -d` sends one by default) only by its content type.
    body = _NO_JSON if body is None and form else body
    return (name, Ask(body, **said)), at


def _split(batch: list[Received]) -> tuple[list[Any], list[Ask], dict[int, bytes]]:
    """Return what TorchServe expects of a batch: nothing about headers, the requests, the ids by place."""
    return [], [ask for _, ask in batch], dict(enumerate([name for name, _ in batch]))


def _writer(policy: str, *, failed: Callable[..., bytes]) -> Callable[..., bytes]:
    def write(
        found: list[Answer] | None, ids: Mapping[int, bytes], message: str, code: int, context: object = None
    ) -> bytes:
        if found is None:
            return failed(None, {place: name.decode() for place, name in ids.items()}, message, code)
        return answers(policy, ids, found)

    return write


@cache
def _head(policy: str, status: int, *, receipt: bool) -> bytes:
    """Return content type, status and headers of an answer; its receipt, where it has one, comes next."""
    headers = _field(names.POLICY_HEADER) + _field(policy) + (_field(names.RECEIPT_HEADER) if receipt else b"")
    return _field("application/json") + _INT.pack(status) + _field("") + _INT.pack(2 if receipt else 1) + headers


def _field(text: str) -> bytes:
    content = text.encode()
    return _INT.pack(len(content)) + content
