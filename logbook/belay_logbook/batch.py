"""Take a request's body apart: bytes to JSON to items, each judged for itself.

JSON knows no NaN, yet Python's writers emit it. So a body that is no JSON is read once more the lenient way: then only
the item that holds the NaN is refused, and the rest of its batch is kept.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError
from starlette.requests import Request

from belay_api.model import Model
from belay_api.wire import MAX_BATCH, BatchResult, Refusal
from belay_logbook import metrics
from belay_logbook.errors import BadRequest, Forbidden, LogbookError, TooLarge

M = TypeVar("M", bound=Model)

MAX_BODY = 32 << 20  # bytes; 10,000 items with room to spare
_SHOWN = 80  # characters of a wrong value that a message repeats


async def read_body(request: Request) -> bytes:
    """Return the request's body. Raises: TooLarge; split the batch."""
    chunks: list[bytes] = []
    size = 0
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MAX_BODY:
        size = int(announced)
    else:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY:
                break
            chunks.append(chunk)
    if size > MAX_BODY:
        raise TooLarge(f"the body has {size} bytes or more, at most {MAX_BODY} are taken: split the batch")
    return b"".join(chunks)


def parse_json(body: bytes) -> Any:
    """Return what the body says. Raises: BadRequest."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as strict:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise BadRequest(f"the body is not JSON: {strict}") from strict


def parse_one(body: bytes, model: type[M]) -> M:
    """Return the one message that the body is. Raises: BadRequest, naming the field."""
    try:
        return model.model_validate(parse_json(body))
    except ValidationError as error:
        raise _bad_request(error, "") from error


def parse_batch(body: bytes, model: type[M], *, strict: bool = True) -> Iterator[tuple[int, M | BadRequest]]:
    """Yield every item's index and the item, or why it is none.

    Args:
        strict: False: text that reads as a number is a number.
    Raises: BadRequest when the body is no batch at all.
    """
    content = parse_json(body)
    if not isinstance(content, dict) or not isinstance(content.get("items"), list):
        raise BadRequest('the body is no batch: send {"items": [...]}', field="items")
    if unknown := sorted(set(content) - {"items"}):
        raise BadRequest(f"{unknown[0]} is not known beside items: remove it", field=unknown[0])
    items = content["items"]
    if len(items) > MAX_BATCH:
        raise BadRequest(f"items has {len(items)} entries, at most {MAX_BATCH} are taken: split it", field="items")
    validate = model.__pydantic_validator__.validate_python
    for index, item in enumerate(items):
        try:
            yield index, validate(item, strict=strict)
        except ValidationError as error:
            yield index, _bad_request(error, f"items[{index}]")


def result_of(kind: str, accepted: int, refused: list[tuple[int, LogbookError]]) -> BatchResult:
    """Return the answer to a batch and count it.

    Raises: Forbidden when there was something in it and every receipt of it was forged.
    """
    metrics.ITEMS.labels(kind, "accepted").inc(accepted)
    for _, error in refused:
        metrics.ITEMS.labels(kind, getattr(error, "count_as", "malformed")).inc()
    if refused and not accepted and all(isinstance(error, Forbidden) for _, error in refused):
        first = refused[0][1]
        raise Forbidden(f"{first.message} (all {len(refused)} items)", field=first.field)
    return BatchResult(accepted=accepted, refused=[Refusal(index=i, error=error.body()) for i, error in refused])


class NotFinite(BadRequest):
    """NaN or infinity where a number belongs."""

    count_as = "not_finite"


def _bad_request(error: ValidationError, prefix: str) -> BadRequest:
    first = error.errors(include_url=False, include_context=False)[0]
    field = prefix
    for part in first["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    seen = repr(first["input"])
    if len(seen) > _SHOWN:
        seen = seen[:_SHOWN] + "..."
    message = f"{field or 'the body'} is {seen}: {first['msg']}"
    if first["type"] == "finite_number":
        return NotFinite(f"{field} is {seen}: numbers are finite; leave out what was not measured", field=field)
    return BadRequest(message, field=field or None)
