"""One address and the connections to it: httpcore, which is httpx without what a decision has no use for.

httpx adds cookies, redirects and a new reading of the address to every request, about as much work as the request
itself. The blocking and the asyncio line stand side by side; two rules are the same in both:

* One deadline for all of it: the lookup of the name, connecting, sending, and the last byte of the answer.
* A request is sent once more when its connection breaks or a gateway has no route just then: deciding twice is
  harmless, and an outcome counts once.
"""

import asyncio
import ssl
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

CONNECTIONS = 256
IDLE_S = 60.0
"""Unused for longer, a connection is not trusted: what lies between forgets it (nginx after 75 s, load balancers after
some minutes), and then a request would wait for an answer that never comes."""
LOOKUPS = 8  # connections made at once: a name that is not found must not gather threads

_PIECE = 1 << 16  # of a request, in bytes: what is sent at once

FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    OSError,
)
"""Everything that can keep an answer from coming."""
_BROKEN = (httpcore.NetworkError, httpcore.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes

    @property
    def again(self) -> bool:
        """Whether to ask once more: a gateway between two routes (1 of 22,000 requests in bench/rollback).

        One that says when to come back does not mean now.
        """
        return self.status == 503 and "retry-after" not in self.headers

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.content[:200].decode(errors='replace')}"


def why(came: Reply | Exception) -> str:
    """Return what came of a request as a sentence."""
    return str(came) if isinstance(came, Reply) else f"{type(came).__name__}: {str(came) or 'no answer in time'}"


class Deadline(dict[str, float]):
    """What is left of one request's time, whichever wait of it asks; in the form httpcore takes it.

    httpcore limits each wait by itself, so a request could take several timeouts; here all of them share one.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._until = time.monotonic() + seconds

    def get(self, key: str, default: Any = None) -> "_Left":
        """Return the seconds left, for any kind of wait; never 0, which would mean not to wait at all."""
        left = _Left(max(self._until - time.monotonic(), 0.001))
        left.of = self
        return left

    def same_end(self) -> "Deadline":
        """Return another one that ends when this does: a line ends the one that it was given."""
        other = Deadline(0.0)
        other._until = self._until
        return other

    def end(self) -> None:
        """Leave no time."""
        self._until = 0.0

    def check(self) -> None:
        """Raises: TimeoutError when there is no time left."""
        if time.monotonic() >= self._until:
            raise TimeoutError


class _Patient(dict[str, float]):
    """A deadline but for the wait for a place in the pool, which would be ended by a cancellation: see `AsyncLine`."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def get(self, key: str, default: Any = None) -> "_Left | None":
        return None if key == "pool" else self._deadline.get(key)


class _Left(float):
    """Seconds that were left when somebody asked, and whom to ask again."""

    of: Deadline

    def now(self) -> float:
        """Return the seconds left now. Raises: TimeoutError when there are none."""
        self.of.check()
        return self.of.get("")


class Address:
    """A URL, and all of a request to it that is always the same."""

    def __init__(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"{url!r} is no address: {error}") from error
        try:
            parsed.raw_host.decode().encode("idna")  # as every lookup does it: a label may be empty or too long
        except UnicodeError as error:
            raise ValueError(f"{url!r} is no address: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"{url!r} is no address; write e.g. http://gateway/predictions/cartpole")
        self.url = httpcore.URL(
            scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
        )
        self.headers = [
            (b"host", parsed.netloc),
            (b"user-agent", b"belay-client"),
            (b"accept-encoding", b"identity"),
            (b"content-type", b"application/json"),
        ]
        if parsed.userinfo:
            self.headers.append((b"authorization", b"Basic " + b64encode(parsed.userinfo)))
        self.pool: dict[str, Any] = {
            "ssl_context": httpx.create_ssl_context() if parsed.scheme == "https" else None,
            "proxy": _proxy(parsed),
            "max_connections": CONNECTIONS,
            "keepalive_expiry": IDLE_S,
        }

    def request(self, content: bytes, headers: Mapping[str, str], timeouts: Mapping[str, float]) -> httpcore.Request:
        """Return a request. Raises: ValueError for a header that is not ASCII."""
        own = [(name.encode(), value.encode("ascii")) for name, value in headers.items()]
        length = (b"content-length", b"%d" % len(content))
        return httpcore.Request(
            b"POST", self.url, headers=[*self.headers, *own, length], content=content, extensions={"timeout": timeouts}
        )


def _proxy(url: httpx.URL) -> httpcore.Proxy | None:
    """Return the proxy that the environment names for `url`, by the same rules as httpx.

    Raises: ValueError for one of another kind.
    """
    proxies = urllib.request.getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found or urllib.request.proxy_bypass(url.host):
        return None
    proxy = httpx.Proxy(found if "://" in found else f"http://{found}")
    if proxy.url.scheme not in ("http", "https"):
        raise ValueError(
            f"the environment names a {proxy.url.scheme} proxy for {url.host}, and only http and https ones are known: "
            "set HTTP_PROXY or HTTPS_PROXY to such a one, or name the host in NO_PROXY"
        )
    return httpcore.Proxy(str(proxy.url), auth=proxy.raw_auth)


class Line:
    """For any number of threads."""

    def __init__(self, url: str, *, beside: "Line | None" = None) -> None:
        """Args: beside: take everything but connections from that one, which ends later; None: from nobody."""
        self._address = Address(url) if beside is None else beside._address
        self._backend, self._borrows = (_Backend(), False) if beside is None else (beside._backend, True)
        self._pool = httpcore.ConnectionPool(**self._address.pool, network_backend=self._backend)

    def send(self, content: bytes, headers: Mapping[str, str], deadline: Deadline) -> Reply:
        """Return the answer to a POST. Raises: one of FAILURES; ValueError for headers that cannot be sent."""
        request = self._address.request(content, headers, deadline)
        try:
            reply = self._ask(request)
            if not reply.again:
                return reply
        except _BROKEN:
            deadline.check()
        return self._ask(request)

    def close(self) -> None:
        """End."""
        self._pool.close()
        if not self._borrows:
            self._backend.close()

    def _ask(self, request: httpcore.Request) -> Reply:
        response = self._pool.handle_request(request)
        try:
            pieces = list(response.iter_stream())
        finally:
            response.close()
        return _reply(response, pieces)


class AsyncLine:
    """For any number of tasks of one event loop.

    A request runs in a task of its own, which nobody cancels and which ends by its deadline: where a cancellation meets
    httpcore's pool at the wrong moment, the connection's place is lost for good (encode/httpcore#1093), and each
    timeout would be a cancellation.
    """

    def __init__(self, url: str, *, beside: "AsyncLine | None" = None) -> None:
        """Args: beside: as of `Line`."""
        self._address = Address(url) if beside is None else beside._address
        self._pool = httpcore.AsyncConnectionPool(**self._address.pool, network_backend=_AsyncBackend())
        self._under_way: set[asyncio.Task[Reply]] = set()

    async def send(self, content: bytes, headers: Mapping[str, str], deadline: Deadline) -> Reply:
        """Return the answer to a POST. Raises: as `Line.send`."""
        request = self._address.request(content, headers, _Patient(deadline))
        sending = asyncio.create_task(self._send(request, deadline))
        self._under_way.add(sending)
        sending.add_done_callback(self._ended)
        try:
            await asyncio.wait([sending], timeout=deadline.get("read"))
            if not sending.done():
                raise TimeoutError
            if sending.cancelled():
                raise httpcore.NetworkError("the client was closed")
            return sending.result()
        finally:
            deadline.end()  # whoever asked may have left early: no further wait begins

    async def close(self) -> None:
        """End."""
        for sending in self._under_way:
            sending.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._pool.aclose()

    async def _send(self, request: httpcore.Request, deadline: Deadline) -> Reply:
        try:
            reply = await self._ask(request)
            if not reply.again:
                return reply
        except _BROKEN:
            deadline.check()
        return await self._ask(request)

    def _ended(self, sending: asyncio.Task[Reply]) -> None:
        self._under_way.discard(sending)
        if not sending.cancelled():
            sending.exception()  # seen, though whoever asked may have left

    async def _ask(self, request: httpcore.Request) -> Reply:
        response = await self._pool.handle_async_request(request)
        try:
            pieces = [piece async for piece in response.aiter_stream()]
        finally:
            await response.aclose()
        return _reply(response, pieces)


def _reply(response: httpcore.Response, pieces: Iterable[bytes]) -> Reply:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    return Reply(response.status, headers, b"".join(pieces))


class _Backend(httpcore.SyncBackend):
    """Connects in threads of its own, since nothing else ends the lookup of a name in time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="belay-connect")
        self._closed = False

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any
    ) -> httpcore.NetworkStream:
        """Return a connection, or raise within `timeout` seconds."""
        try:
            connecting = self._threads.submit(super().connect_tcp, host, port, timeout, *args, **options)
        except RuntimeError:
            if self._closed:
                raise
            # An ending interpreter starts no thread; what is left to tell the logbook may wait for a lookup.
            return _Stream(super().connect_tcp(host, port, timeout, *args, **options))
        try:
            return _Stream(connecting.result(timeout))
        except (TimeoutError, CancelledError) as error:  # the second: the client was closed meanwhile
            if not connecting.cancel():
                connecting.add_done_callback(_let_go)
            raise httpcore.ConnectTimeout("no connection in time") from error

    def close(self) -> None:
        """End; a lookup under way ends by itself."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Stream(httpcore.NetworkStream):
    """A connection of which each single wait asks what is left; httpcore asks once for all reads of an answer's head.

    A server that sends its head byte by byte, or takes a large request in sips, would pass each wait by itself.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: _Left) -> bytes:
        return self._stream.read(max_bytes, timeout.now())

    def write(self, buffer: bytes, timeout: _Left) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], timeout.now())

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None, timeout: _Left) -> "_Stream":
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout.now()))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _AsyncBackend(httpcore.AnyIOBackend):
    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _AsyncStream(await super().connect_tcp(*args, **options))


class _AsyncStream(httpcore.AsyncNetworkStream):
    """`_Stream` again; here a write is one wait, however large it is."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: _Left) -> bytes:  # noqa: ASYNC109  httpcore's
        return await self._stream.read(max_bytes, timeout.now())

    async def write(self, buffer: bytes, timeout: _Left) -> None:  # noqa: ASYNC109  httpcore's
        await self._stream.write(buffer, timeout.now())

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None,
        timeout: _Left,  # noqa: ASYNC109
    ) -> "_AsyncStream":
        return _AsyncStream(await self._stream.start_tls(ssl_context, server_hostname, timeout.now()))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _let_go(connecting: Future[httpcore.NetworkStream]) -> None:
    if not connecting.exception():
        connecting.result().close()
