"""What every route shares: reading a request's parts, answering, refusing, and being timed."""

import re
import time

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from belay_api.model import Model
from belay_api.wire import ErrorAnswer, ErrorBody
from belay_logbook import metrics
from belay_logbook.errors import BadRequest, LogbookError

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
NUMBER = re.compile(r"[0-9]{1,15}")


def param(request: Request, name: str, pattern: re.Pattern[str]) -> str:
    """Return a part of the path. Raises: BadRequest when it does not fit `pattern`."""
    value: str = request.path_params[name]
    if not pattern.fullmatch(value):
        raise BadRequest(f"{name} is {value[:80]!r} in the path, wanted {pattern.pattern}", field=name)
    return value


def header(request: Request, name: str) -> int | None:
    """Return a header's number, None when it was not sent. Raises: BadRequest."""
    text = request.headers.get(name)
    if text is None:
        return None
    if not NUMBER.fullmatch(text):
        raise BadRequest(f"{name} is {text[:80]!r}, wanted a number of bytes", field=name)
    return int(text)


def json_answer(model: Model, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a message of `wire.py` as an answer."""
    content = orjson.dumps(model.model_dump(mode="json", by_alias=True, exclude_none=True))
    return Response(content, status, headers, "application/json")


async def refuse(_: Request, error: Exception) -> Response:
    """Answer one of our own errors."""
    if not isinstance(error, LogbookError):
        raise error
    return json_answer(error.answer(), error.status, error.headers)


async def refuse_http(request: Request, error: Exception) -> Response:
    """Answer a path or method that no route has."""
    if not isinstance(error, HTTPException):
        raise error
    message = f"{request.method} {request.url.path}: {error.detail}; the routes are listed in belay_api/wire.py"
    return json_answer(ErrorAnswer(error=ErrorBody(status=error.status_code, message=message)), error.status_code)


async def gone(_: Request, __: Exception) -> Response:
    """Answer a caller who has hung up."""
    return Response(status_code=499)  # nobody reads it; for the metric only


async def defect(_: Request, __: Exception) -> Response:
    """Answer what nobody foresaw; the traceback is on the log."""
    message = "a defect of the logbook: nothing of this request was recorded; its log says more"
    return json_answer(ErrorAnswer(error=ErrorBody(status=500, message=message)), 500)


class Measured:
    """Times every request by route, not by path: paths are endless."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            # starlette's endpoint name; without one no route matched
            route = getattr(scope.get("endpoint"), "__name__", "none")
            # A method is any word; each would be a time series of its own, and nobody has been asked who they are yet.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            metrics.REQUEST_SECONDS.labels(method, route, status).observe(time.perf_counter() - began)
