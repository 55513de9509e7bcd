"""A server that speaks as Prometheus does, in answers recorded from one (2.42), with values of the test's own.

tests/long asks a real one; here is what a real one does only when something is wrong, or only after hours.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Value = float | str | None
"""A number as JSON or text has it (`NaN`, `+Inf`); None: nothing at that instant."""

Told = tuple[int, Any]
"""Status and body of an answer."""

UNPARSABLE = (
    400,
    {"status": "error", "errorType": "bad_data", "error": "1:10: parse error: unclosed left parenthesis"},
)
UNMATCHABLE = (
    422,
    {
        "status": "error",
        "errorType": "execution",
        "error": "found duplicate series for the match group: many-to-many matching not allowed",
    },
)


class PrometheusServer:
    """Answers range and instant queries. Used as an asynchronous context manager."""

    def __init__(self, value: Callable[[str, float], Value]) -> None:
        """Args: value: What a query gives at an instant, in seconds since 1970."""
        self.value = value
        self.asked: list[Mapping[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.wrong: Told | None = None  # status and body of every answer; None: all is well
        self.series = 1
        self.behind_s = 0.0  # of the server's clock
        self.hangs = False
        app = web.Application()
        app.router.add_get("/api/v1/query_range", self._range)
        app.router.add_route("*", "/api/v1/query", self._instant)
        self._server = TestServer(app, host="127.0.0.1")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def __aenter__(self) -> "PrometheusServer":
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def _range(self, request: web.Request) -> web.Response:
        return await self._answer(dict(request.query), request, self._matrix)

    async def _instant(self, request: web.Request) -> web.Response:
        return await self._answer({**request.query, **await request.post()}, request, self._vector)

    async def _answer(self, asked: dict[str, str], request: web.Request, told: Callable[..., Told]) -> web.Response:
        self.asked.append(asked)
        self.headers.append(dict(request.headers))
        if self.hangs:
            await asyncio.sleep(3600)
        headers = {"Date": formatdate(time.time() - self.behind_s, usegmt=True)}
        status, body = self.wrong if self.wrong is not None else told(asked)
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    def _matrix(self, asked: Mapping[str, str]) -> Told:
        start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
        if (end - start) / step > 11_000:
            return 400, {"status": "error", "errorType": "bad_data", "error": "exceeded maximum"}
        instants = [start + step * number for number in range(round((end - start) / step) + 1)]
        values = [(at, self.value(asked["query"], at)) for at in instants]
        return self._result("matrix", values=[[at, str(value)] for at, value in values if value is not None])

    def _vector(self, asked: Mapping[str, str]) -> Told:
        at = float(asked.get("time", time.time()))
        value = self.value(asked["query"], at)
        return self._result("vector", value=[] if value is None else [at, str(value)])

    def _result(self, kind: str, **told: list[Any]) -> Told:
        (some,) = told.values()
        series = [{"metric": {"pod": str(number)}, **told} for number in range(self.series)] if some else []
        return 200, {"status": "success", "data": {"resultType": kind, "result": series}}
