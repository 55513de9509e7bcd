"""How a poller reaches the logbook: where it is, and as whom; and what it says when it refuses."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import aiohttp
from pydantic import ValidationError

from belay_api.wire import ErrorAnswer
from belay_operator.engine.source import PollerContext


def request(
    context: PollerContext,
    method: str,
    path: str,
    *,
    within: timedelta,
    connect: timedelta | None = None,
    **more: Any,
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """Return a request to the logbook, to be entered; the token is read anew for each, because it is rotated.

    Args:
        path: From the version on, such as `/v1/jobs`.
        within: Time limit of the whole request.
        connect: Of the time until it is connected; None: as `within`.
        more: Further arguments of aiohttp's.
    """
    token = context.token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{(context.settings.logbook_url or '').rstrip('/')}{path}"
    timeout = aiohttp.ClientTimeout(total=within.total_seconds(), connect=(connect or within).total_seconds())
    return context.http.request(method, url, headers=headers, timeout=timeout, **more)


def refusal(body: bytes) -> str:
    """Return the words of the one error body every room answers with; else the beginning of whatever came."""
    try:
        return ErrorAnswer.model_validate_json(body).error.message
    except ValidationError:
        return body[:200].decode("utf-8", "replace")
