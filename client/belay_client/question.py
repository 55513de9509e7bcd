"""One request to a policy: what is sent, and the answers to whatever came of it. Pure; the clients do the sending.

A version that cannot read what another one remembered says 409. Nobody is to act blindly for that, so those items are
asked again, without it, in the time that is left.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from belay_api.names import RECEIPT_HEADER
from belay_client.core import Answer, EpisodeMemory
from belay_client.lines import Reply, why

_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")  # of a policy: it goes back in a header
_OK = 200
_CONFLICT = 409


class BadObservation(ValueError):
    """Something that cannot even be sent."""


class _Found(NamedTuple):
    """What came of one item."""

    answer: Answer
    receipt: str | None = None
    state: str | None = None  # what the policy remembers then
    conflict: bool = False  # the state that was sent is another version's


class Question:
    """Decisions asked for in one request, all pinned to the same version."""

    def __init__(self, items: list[dict[str, Any]], *, fallback: Any, memories: Sequence[EpisodeMemory] = ()) -> None:
        """Make it up.

        Args:
            items: `wire.Prediction` as JSON; at least one.
            memories: The episode of each item; empty: they belong to none.
        """
        self._items = items
        self._memories = memories
        self._fallback = fallback
        self.unread: list[int] = []  # places of items whose memory is another version's and could not be read

    @property
    def headers(self) -> dict[str, str]:
        """The header that pins the episodes, once there is a version to pin them to."""
        return self._memories[0].headers() if self._memories else {}

    def content(self) -> bytes:
        """Return the request's body. NaN travels as it is: the server refuses that item alone, and says which.

        Raises: BadObservation; send numbers or nested lists of numbers.
        """
        try:
            return _encode(self._items if len(self._items) > 1 else self._items[0]).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise BadObservation(str(error)) from error

    def answers(self, came: Reply | Exception) -> list[Answer]:
        """Return one answer per item, whatever came of the request; the episodes remember theirs.

        Those of `unread` are asked again, by the question that `without_state` returns.
        """
        found = self._read(came) if isinstance(came, Reply) else self._failed(why(came))
        self.unread = [place for place, one in enumerate(found) if one.conflict and "state" in self._items[place]]
        for place, (memory, one) in enumerate(zip(self._memories, found, strict=False)):
            if place not in self.unread:
                memory.take(one.answer, one.receipt, one.state)
        return [one.answer for one in found]

    def without_state(self) -> "Question":
        """Return what asks for the decisions of `unread` again; their episodes have lost what was remembered."""
        memories = [self._memories[place] for place in self.unread]
        for memory in memories:
            memory.lose_state()
        items = [{key: value for key, value in self._items[place].items() if key != "state"} for place in self.unread]
        return Question(items, fallback=self._fallback, memories=memories)

    def _read(self, reply: Reply) -> list[_Found]:
        try:
            value = _decode(reply.content.decode())
            values = value if isinstance(value, list) else [value]
            if len(values) != len(self._items):
                return self._failed(_why(values[0] if values else None, reply))
            return [self._read_one(one, reply) for one in values]
        except (ValueError, RecursionError):
            return self._failed(_why(None, reply))

    def _read_one(self, value: Any, reply: Reply) -> _Found:
        match value:
            case {"action": action, "policy": str(policy)} if (
                reply.status == _OK and _NAME.fullmatch(policy) and _is_action(action)
            ):
                receipt, state = value.get("receipt"), value.get("state")
                if receipt is None and len(self._items) == 1:
                    receipt = reply.headers.get(RECEIPT_HEADER)
                fallback = value.get("fallback") is True
                return _Found(
                    Answer(action, policy, fallback),
                    receipt if isinstance(receipt, str) else None,
                    state if isinstance(state, str) else None,
                )
            case {"error": {"status": int(status)}} if status == _CONFLICT:
                return _Found(Answer(self._fallback, None, True, _why(value, reply)), conflict=True)
        return _Found(Answer(self._fallback, None, True, _why(value, reply)))

    def _failed(self, why: str) -> list[_Found]:
        return [_Found(Answer(self._fallback, None, True, why))] * len(self._items)


def _is_action(value: Any) -> bool:
    """Whether every number of it is one: a network's NaN arrives as NaN or null, by the server's JSON writer."""
    if isinstance(value, list):
        return all(map(_is_action, value))
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _why(value: Any, reply: Reply) -> str:
    """Return why something is no answer, in the server's own words where it has any."""
    match value:
        case {"error": {"message": str(message)}}:
            return message
    if location := reply.headers.get("location"):
        return f"HTTP {reply.status} to {location}: redirects are not followed, give the client that address"
    return f"not an answer of a Belay policy: {reply}"


def _plain(value: Any) -> Any:
    """Let numpy arrays and scalars through without importing numpy."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no observation: send numbers or nested lists of numbers")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


# Kept: json.dumps and json.loads would make one per request.
_encode = json.JSONEncoder(separators=(",", ":"), default=_plain).encode
_decode = json.JSONDecoder(parse_constant=_no_number).decode
