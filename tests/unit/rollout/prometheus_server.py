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
    """Answers range queries. Used as an asynchronous context manager."""

    def __init__(self, value: Callable[[str, float], Value]) -> None:
        """Args: value: What a query gives at an instant, in seconds since 1970."""
        self.value = value
        self.asked: list[Mapping[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.wrong: tuple[int, Any] | None = None  # status and body of every answer; None: all is well
        self.series = 1
        self.behind_s = 0.0  # of the server's clock
        self.hangs = False
        app = web.Application()
        app.router.add_get("/api/v1/query_range", self._answer)
        self._server = TestServer(app, host="127.0.0.1")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def __aenter__(self) -> "PrometheusServer":
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        self.headers.append(dict(request.headers))
        if self.hangs:
            await asyncio.sleep(3600)
        headers = {"Date": formatdate(time.time() - self.behind_s, usegmt=True)}
        if self.wrong is not None:
            status, body = self.wrong
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, text=text, headers=headers)
        start, end, step = (float(request.query[name]) for name in ("start", "end", "step"))
        if (end - start) / step > 11_000:
            return web.json_response(
                {"status": "error", "errorType": "bad_data", "error": "exceeded maximum"}, status=400
            )
        instants = [start + step * number for number in range(round((end - start) / step) + 1)]
        values = [(at, self.value(request.query["query"], at)) for at in instants]
        told = [[at, str(value)] for at, value in values if value is not None]
        result = [{"metric": {"pod": str(n)}, "values": told} for n in range(self.series)] if told else []
        body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        return web.json_response(body, headers=headers)
