"""Ask a Prometheus server, or what speaks as one, and understand its answer: `ask`, and whom to ask as whom: `Servers`.

Two kinds of failure leave here. `ServerDown`: nobody answers, or not to us; somebody else has to mend that, and the
same question may be answered later. `QueryRefused`: the server has understood and will say the same again to the same
question.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from weakref import WeakValueDictionary

import aiohttp

from belay_api.rollout.sources.prometheus import KeyRef, PrometheusAuth, PrometheusSource, ValueFrom
from belay_operator.engine.errors import ApiError, Forbidden
from belay_operator.engine.source import PollerContext

PATH = "/api/v1/query_range"
REFUSED = frozenset({400, 422})  # what Prometheus answers to a query that it cannot parse, or cannot carry out
LARGEST = 4 * 2**20  # bytes of an answer: one series of MOST_LOOKS numbers has a tenth of it
MOST_LOOKS = 10_000  # in one question: Prometheus gives 11,000 points at most
AT_ONCE = 8  # questions to one server: it has others to answer
KEEP_S = 60.0  # how long what a Secret or a ConfigMap said is believed
WORDS = 300  # characters of a server's own words that are repeated


@dataclass(frozen=True, slots=True)
class NoNumber:
    """An answer without a number in it."""

    words: str
    refused: bool  # it stays so until the query is another one


NOTHING = NoNumber(
    "the answer is empty: no series matches the query. Of what may have none, ask `sum(...) or vector(0)`",
    refused=False,
)
MANY = NoNumber(
    "the query gives several series, and which of them is meant nobody can know: aggregate them, with sum(...) or the "
    "like",
    refused=True,
)
HISTOGRAM = NoNumber(
    "the query gives a histogram and no number: take histogram_quantile(...) or the like of it", refused=True
)


class ServerDown(Exception):
    """The server does not answer, or not to us."""


class QueryRefused(Exception):
    """The server cannot answer such a query, and says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """Whom to ask, and how."""

    url: str
    places: asyncio.Semaphore  # shared by all who ask it
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None  # None: the system's certificates


@dataclass(frozen=True, slots=True)
class TimedValues:
    """The value at each instant asked about."""

    values: Mapping[int, float | NoNumber]  # by its place, from 0 on; absent: NOTHING
    clock: datetime | None  # the server's, to the second; None: it does not say


async def ask(
    http: aiohttp.ClientSession,
    server: Server,
    query: str,
    *,
    first: datetime,
    step: timedelta,
    count: int,
    within: timedelta,
) -> TimedValues:
    """Return what a query gives at `count` instants that are `step` apart. Raises: ServerDown, QueryRefused."""
    step_s, began = step.total_seconds(), first.timestamp()
    params = {
        "query": query,
        "start": f"{began:.3f}",
        "end": f"{began + step_s * (count - 1):.3f}",
        "step": f"{step_s:g}",
        "timeout": f"{math.ceil(within.total_seconds() * 1000)}ms",
    }
    status, headers, body = await _get(http, server, params, within)
    if status in REFUSED:
        raise QueryRefused(f"{server.url} refuses the query: {_words(body)}")
    if status != 200:
        raise ServerDown(f"{server.url} answers {status}{_advice(status, headers)}: {_words(body)}")
    try:
        document = json.loads(body)
        if document["status"] != "success":
            raise ServerDown(f"{server.url} answers: {_words(body)}")
        values = _values(document["data"], began, step_s, count)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ServerDown(f"{server.url} answers, but not as Prometheus does: is it the right address?") from error
    return TimedValues(values, _clock(headers))


async def _get(
    http: aiohttp.ClientSession, server: Server, params: Mapping[str, str], within: timedelta
) -> tuple[int, Mapping[str, str], bytes]:
    timeout = aiohttp.ClientTimeout(total=within.total_seconds())
    tls: ssl.SSLContext | bool = server.tls if server.tls is not None else True
    try:
        # Where a server sends us, our credentials do not go.
        async with (
            server.places,
            http.get(
                server.url.rstrip("/") + PATH,
                params=params,
                headers=server.headers,
                timeout=timeout,
                ssl=tls,
                allow_redirects=False,
            ) as answer,
        ):
            body = bytearray()
            async for chunk in answer.content.iter_chunked(65536):
                body += chunk
                if len(body) > LARGEST:
                    raise QueryRefused(f"{server.url}: {MANY.words}")
            return answer.status, answer.headers, bytes(body)
    except aiohttp.ClientConnectorCertificateError as error:
        raise ServerDown(
            f"the certificate of {server.url} is not trusted ({error.certificate_error}): name the one it was signed "
            "by in prometheus.caFrom"
        ) from error
    except TimeoutError as error:
        raise ServerDown(f"{server.url} does not answer within {within.total_seconds():g} s") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise ServerDown(f"{server.url} does not answer ({type(error).__name__})") from error


def _values(data: Mapping[str, Any], began: float, step_s: float, count: int) -> dict[int, float | NoNumber]:
    """The values by their place. Several series are no trouble where each has an instant of its own."""
    found: dict[int, float | NoNumber] = {}
    for series in data["result"]:
        told = [(at, text) for at, text in series.get("values", ())]
        told += [(at, None) for at, _ in series.get("histograms", ())]
        for at, text in told:
            place = round((at - began) / step_s)
            if not 0 <= place < count:
                continue
            if place in found:
                found[place] = MANY
                continue
            found[place] = HISTOGRAM if text is None else _number(text)
    return found


def _number(text: str) -> float | NoNumber:
    value = float(text)
    if math.isfinite(value):
        return value
    kind = "NaN" if math.isnan(value) else "infinite"
    return NoNumber(f"the answer is {kind}, as where nothing was there to divide by", refused=False)


def _words(body: bytes) -> str:
    """The server's own words, if it says any."""
    try:
        said = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        said = body[: 4 * WORDS].decode("utf-8", "replace")
    words = " ".join(str(said).split())
    return words if len(words) <= WORDS else words[:WORDS] + "…"


def _advice(status: int, headers: Mapping[str, str]) -> str:
    if status in (401, 403):
        return " (see prometheus.auth)"
    if status == 404:
        return " (see prometheus.address: it has no API there)"
    if 300 <= status < 400:
        return f" (it sends us to {headers.get('Location', '?')[:WORDS]}: write the address that answers)"
    return ""


def _clock(headers: Mapping[str, str]) -> datetime | None:
    try:
        told = parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)


class Servers:
    """Whom the rollouts' sources name, with what Secrets and ConfigMaps say of them, read again every minute."""

    def __init__(self, context: PollerContext) -> None:
        self._context = context
        self._objects: dict[tuple[str, str, str], tuple[float, Mapping[str, Any]]] = {}
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def of(self, source: PrometheusSource, namespace: str) -> Server:
        """Return the server of a source. Raises: ServerDown with what is missing of it."""
        url = source.address
        if source.address_from is not None:
            url = (await self._text(source.address_from, namespace, "addressFrom")).strip()
            if not url.startswith(("http://", "https://")):
                raise ServerDown(
                    "prometheus.addressFrom: what stands there is no address; write e.g. http://prometheus:9090"
                )
        url = url or self._context.settings.prometheus_url
        if url is None:
            raise ServerDown(
                "no Prometheus server is named: set prometheus.address, or install Belay with operator.prometheus.url"
            )
        headers = {} if source.auth is None else {"Authorization": await self._authorization(source.auth, namespace)}
        tls = None
        if source.ca_from is not None:
            tls = _trusting(await self._text(source.ca_from, namespace, "caFrom"))
        places = self._places.get(url)
        if places is None:
            places = self._places[url] = asyncio.Semaphore(AT_ONCE)
        return Server(url, places, headers, tls)

    async def _authorization(self, auth: PrometheusAuth, namespace: str) -> str:
        if auth.bearer is not None:
            token = (await self._key("Secret", auth.bearer, namespace, "auth.bearer")).strip()
            return f"Bearer {_header(token)}"
        name = auth.basic.name if auth.basic is not None else ""
        user, password = [
            await self._key("Secret", KeyRef(name=name, key=key), namespace, "auth.basic")
            for key in ("username", "password")
        ]
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    async def _text(self, where: ValueFrom, namespace: str, field_name: str) -> str:
        if where.config_map_key_ref is not None:
            return await self._key("ConfigMap", where.config_map_key_ref, namespace, field_name)
        if where.secret_key_ref is not None:
            return await self._key("Secret", where.secret_key_ref, namespace, field_name)
        raise ServerDown(f"prometheus.{field_name} names no object")

    async def _key(self, kind: str, ref: KeyRef, namespace: str, field_name: str) -> str:
        """Return what stands under a key. Raises: ServerDown with what to do."""
        where = f"prometheus.{field_name}: {kind} {namespace}/{ref.name}"
        held = self._objects.get((kind, namespace, ref.name))
        now = asyncio.get_running_loop().time()
        if held is None or now - held[0] > KEEP_S:
            try:
                found = await self._context.read(kind, namespace, ref.name)
            except Forbidden as error:
                raise ServerDown(
                    f"{where} may not be read by the operator: list it in operator.readSecrets of the chart, or grant "
                    f"`get` on it to the ServiceAccount of the operator by a Role in {namespace}"
                ) from error
            except ApiError as error:
                raise ServerDown(f"{where} cannot be read now ({error.reason})") from error
            if found is None:
                raise ServerDown(f"{where} does not exist")
            self._objects = {name: it for name, it in self._objects.items() if now - it[0] <= KEEP_S}
            held = self._objects[kind, namespace, ref.name] = (now, found.get("data") or {})
        data = held[1]
        if ref.key not in data:
            raise ServerDown(f"{where} has no key {ref.key}")
        if kind != "Secret":
            return str(data[ref.key])
        try:
            return base64.b64decode(data[ref.key], validate=True).decode()
        except ValueError as error:
            raise ServerDown(f"{where}: what stands under {ref.key} is no text") from error


def _header(text: str) -> str:
    if not text.isprintable() or not text.isascii():
        raise ServerDown(
            "prometheus.auth.bearer: what stands there is no token: it has characters that no header may have"
        )
    return text


def _trusting(pem: str) -> ssl.SSLContext:
    try:
        return _context(pem)
    except (ssl.SSLError, ValueError) as error:
        raise ServerDown("prometheus.caFrom: what stands there are no certificates in PEM") from error


@lru_cache(maxsize=64)
def _context(pem: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=pem)
