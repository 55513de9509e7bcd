"""Parsing large batches beside the event loop, so that a long-poll's answer never waits for a stranger's JSON."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SMALL = 16 << 10  # bytes; parsing that takes less time than handing it to a thread and back


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `function(...)`, computed in a thread when its first argument, the body, is large."""
    if args and isinstance(args[0], bytes) and len(args[0]) <= SMALL:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
