"""Talk to the API server in plain dicts: one place for authentication, rate, retries, errors and metrics.

The official `kubernetes` package loads the credentials and keeps the TLS session; its typed models stay outside,
because they cost five to ten times the CPU and memory and refuse fields newer than themselves. Everything we send is
safe to send twice (server-side apply, preconditions, reads), so every call is tried again on 429, 5xx and a broken
connection, but only for a few seconds: the queue's back-off is the patient one.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from belay_api import names
from belay_operator.engine import metrics
from belay_operator.engine.errors import ApiError, NotFound, Unreachable, error_of
from belay_operator.engine.rate import TokenBucket
from belay_operator.engine.resources import WITHIN, Resource, resource_of

TRIES = 4
FIRST_DELAY = timedelta(
    milliseconds=100
)  # doubled per try, times a random 0.5..1: many clients must not come back together
LONGEST_RETRY_AFTER = timedelta(seconds=10)  # a longer wish is left to the queue's back-off
URGENT_TIMEOUT = timedelta(seconds=5)  # a connection that died in silence must not use up a rollback's deadline
TRYING = 2  # times the time limit of one try: after that no other try begins
DEPTH = 10_000  # levels of nesting that an API server accepts in an object
CHUNK = 500  # objects per list page: bounds the memory spike on both sides

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A list, or a part of one."""

    items: list[Object]
    resource_version: str  # of the whole list, the same in each part: what a watch may continue from


def allow_deep_objects() -> None:
    """Let Python's JSON parser, ours and the one behind kopf's watches, read whatever the API server may send.

    It counts levels like calls, and ends at a thousand: one such object would end every list and every watch.
    """
    sys.setrecursionlimit(DEPTH + sys.getrecursionlimit())


class Client:
    """One connection pool, one rate limit."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        rate_per_s: float = 100,
        burst: int = 200,
        rng: random.Random | None = None,
    ) -> None:
        self.configuration = configuration
        self._rest = RESTClientObject(configuration)
        self._bucket = TokenBucket(rate_per_s=rate_per_s, burst=burst, clock=time.monotonic)
        self._rng = rng or random.Random()

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()

    async def get(self, kind: str, namespace: str, name: str, *, urgent: bool = False) -> Object | None:
        """Return the live object, or None when it does not exist."""
        try:
            return await self.call("GET", resource_of(kind), resource_of(kind).path(namespace, name), urgent=urgent)
        except NotFound:
            return None

    async def list(self, kind: str, namespace: str | None = None, *, limit: int = CHUNK) -> Page:
        """Return all objects the kind's selector lets through, fetched in chunks."""
        items: list[Object] = []
        version = ""
        async for page in self.pages(kind, namespace, limit=limit):
            items += page.items
            version = page.resource_version
        return Page(items, version)

    async def pages(self, kind: str, namespace: str | None = None, *, limit: int = CHUNK) -> AsyncIterator[Page]:
        """Yield what `list` returns, chunk by chunk, so that it is never all in memory. Raises: Gone after minutes."""
        resource = resource_of(kind)
        query = {"limit": str(limit)}
        if resource.selector:
            query["labelSelector"] = resource.selector
        while True:
            answer = await self.call("GET", resource, resource.path(namespace), query=query, within=WITHIN)
            items = answer.get("items") or []
            for item in items:  # list items come without these two
                item["apiVersion"], item["kind"] = resource.api_version, resource.kind
            yield Page(items, answer["metadata"]["resourceVersion"])
            more = answer["metadata"].get("continue")
            if not more:
                return
            query["continue"] = more

    async def events(self, namespace: str, *, kind: str, reason: str) -> Sequence[Object]:
        """Return the first Events of a namespace, at most `CHUNK`, about objects of `kind` with that reason."""
        resource = resource_of("Event")
        query = {"fieldSelector": f"involvedObject.kind={kind},reason={reason}", "limit": str(CHUNK)}
        answer = await self.call("GET", resource, resource.path(namespace), query=query)
        return answer.get("items") or []

    async def pods(self, namespace: str, labels: Mapping[str, str]) -> Sequence[Object]:
        """Return the first pods of a namespace with these labels, at most `CHUNK`, whoever made them."""
        resource = resource_of("Pod")
        query = {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items()), "limit": str(CHUNK)}
        answer = await self.call("GET", resource, resource.path(namespace), query=query)
        return answer.get("items") or []

    async def apply(self, manifest: Mapping[str, Any], *, urgent: bool = False) -> Object:
        """Server-side apply `manifest` under our field manager and return the object as it is now."""
        resource, meta = resource_of(manifest["kind"]), manifest["metadata"]
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        path = resource.path(meta["namespace"], meta["name"])
        return await self.call(
            "PATCH", resource, path, body=manifest, query=query, media="application/apply-patch+yaml", urgent=urgent
        )

    async def replace_status(
        self, obj: Mapping[str, Any], status: Mapping[str, Any], *, urgent: bool = False
    ) -> Object:
        """Replace the whole status of `obj`, which must still be at the resource version we read.

        Raises: Conflict when somebody wrote the object since; a stale reader never overwrites a newer intent.
        """
        resource, meta = resource_of(obj["kind"]), obj["metadata"]
        # A PUT and no patch, for which the API server encodes and decodes the whole object once more. It takes only the
        # status from it, and answers 409 when the version is not the stored one.
        body = {"apiVersion": resource.api_version, "kind": obj["kind"], "metadata": meta, "status": status}
        path = resource.path(meta["namespace"], meta["name"], "status")
        return await self.call(
            "PUT", resource, path, body=body, query={"fieldManager": names.FIELD_MANAGER}, urgent=urgent
        )

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, urgent: bool = False) -> None:
        """Delete exactly the object with `uid`; dependents go in the background. Raises: Conflict for a successor."""
        resource = resource_of(kind)
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self.call("DELETE", resource, resource.path(namespace, name), body=body, urgent=urgent)

    async def create(self, manifest: Mapping[str, Any], *, tries: int = TRIES, urgent: bool = False) -> Object:
        """Create an object that must not exist yet. Raises: Conflict when it does."""
        resource = resource_of(manifest["kind"])
        path = resource.path(manifest["metadata"]["namespace"])
        return await self.call("POST", resource, path, body=manifest, tries=tries, urgent=urgent)

    async def serves(self, resource: Resource) -> bool:
        """Return whether the API server serves this kind at this version."""
        try:
            answer = await self.call("GET", resource, resource.base)
        except NotFound:
            return False
        return any(entry["name"] == resource.plural for entry in answer.get("resources") or [])

    async def call(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        media: str = "application/json",
        urgent: bool = False,
        tries: int = TRIES,
        within: timedelta | None = None,
    ) -> Object:
        """Make one call, tried again where that can help, and return the decoded answer.

        Args:
            urgent: Do not wait for the rate limit, nor long for an answer before the next try.
            within: Time limit of each try; None: what fits the kind and `urgent`. No try begins later than twice that
                after the call did.
        Raises: The ApiError that fits the last answer.
        """
        url = f"{self.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        within = within or (min(URGENT_TIMEOUT, resource.within) if urgent else resource.within)
        end = time.monotonic() + TRYING * within.total_seconds()
        one = _Call(verb, resource.kind, f"{verb} {path}", url, media, within)
        attempt = 0
        while True:
            attempt += 1
            metrics.API_THROTTLED.inc(await self._bucket.take(urgent=urgent))
            try:
                return await self._once(one, body)
            except _TryAgain as again:
                pause = max(FIRST_DELAY * 2 ** (attempt - 1) * self._rng.uniform(0.5, 1.0), again.after).total_seconds()
                if attempt >= tries or again.after > LONGEST_RETRY_AFTER or time.monotonic() + pause >= end:
                    raise again.error from again.__cause__
                await asyncio.sleep(pause)

    async def _once(self, one: "_Call", body: Any) -> Object:
        headers = {"Accept": "application/json", "Content-Type": one.media, "User-Agent": names.FIELD_MANAGER}
        headers |= await self._authorization()
        started, code = time.monotonic(), "none"
        limit = aiohttp.ClientTimeout(one.within.total_seconds())
        try:
            answer = await self._rest.request(  # type: ignore[no-untyped-call]
                one.verb, one.url, headers=headers, body=body, _request_timeout=limit
            )
            code = str(answer.status)
            data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as cause:
            error: ApiError = Unreachable(one.what, code=None, reason=type(cause).__name__, message=str(cause))
            raise _TryAgain(error, timedelta(0)) from cause
        finally:
            metrics.API_CALLS.labels(one.verb, one.kind, code).inc()
            metrics.API_SECONDS.labels(one.verb).observe(time.monotonic() - started)
        if answer.status < 300:
            try:
                return _parsed(data)
            except ValueError as cause:  # something in between has a page of its own
                text = data[:200].decode(errors="replace")
                error = Unreachable(one.what, code=None, reason="NotJSON", message=text)
                raise _TryAgain(error, timedelta(0)) from cause
        error = _error(one.what, answer.status, data)
        if answer.status == 429 or answer.status >= 500:
            raise _TryAgain(error, _retry_after(answer.headers))
        raise error

    async def _authorization(self) -> dict[str, str]:
        # Asked before each call: in a cluster the token on disk is rotated, and the package reads it again when due.
        settings = await self.configuration.auth_settings()
        token = settings.get("BearerToken")
        return {token["key"]: token["value"]} if token and token["value"] else {}


@dataclass(frozen=True, slots=True)
class _Call:
    """What stays the same from try to try."""

    verb: str
    kind: str
    what: str  # for people and errors
    url: str
    media: str
    within: timedelta


class _TryAgain(Exception):
    """An outcome that another try may change."""

    def __init__(self, error: ApiError, after: timedelta) -> None:
        self.error, self.after = error, after
        super().__init__(str(error))


def _parsed(data: bytes) -> Object:
    try:
        found: Object = orjson.loads(data)
    except orjson.JSONDecodeError:  # or one object of a list is nested deeper than orjson goes: 1,024 levels
        found = json.loads(data)
    return found


def _error(what: str, code: int, data: bytes) -> ApiError:
    try:
        status = orjson.loads(data)
        reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
        causes = [str(cause.get("reason")) for cause in (status.get("details") or {}).get("causes") or ()]
    except (orjson.JSONDecodeError, AttributeError):  # a proxy in between answers in HTML
        reason, message, causes = "", data[:200].decode(errors="replace"), []
    return error_of(what, code, reason, message, causes=causes)


def _retry_after(headers: Mapping[str, str]) -> timedelta:
    try:
        return timedelta(seconds=float(headers.get("Retry-After", "0")))
    except ValueError:  # the other form, an HTTP date, is not used by API servers
        return timedelta(0)
