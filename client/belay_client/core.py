"""What both clients share, without any network: requests, answers, and what an episode remembers.

The rule that keeps an episode together is here: once a version has answered, its name is sent back in the header
`x-belay-policy` until the episode ends. When another version answers all the same (a rollback took the first one away),
the episode follows it and is marked as moved.
"""

import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from belay_api.names import POLICY_HEADER

DEFAULT_TIMEOUT_S = 0.1  # an application that acts ten times a second can just afford it
TRY_AGAIN = 503
"""A gateway between two routes (bench/rollback: 1 of 22,000 requests). Asked once more, in the time that is left:
deciding twice is harmless, and a second 503 is an answer."""


class Deadline(dict[str, float]):
    """What is left of one decision's time, whichever wait of a request asks; in the form httpx hands to its transport.

    httpx limits each wait by itself, so a request could take several timeouts; here all of them share one.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._until = time.monotonic() + seconds

    def get(self, key: str, default: Any = None) -> float:
        """Return the seconds left, for any kind of wait; never 0, which would mean not to wait at all."""
        return max(self._until - time.monotonic(), 0.001)

    @property
    def passed(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self._until


@dataclass(frozen=True, slots=True)
class Answer:
    """What to do now."""

    action: Any  # a number for Discrete, nested lists for Box; the fallback action when `fallback`
    policy: str | None  # name of the RLPolicy that acted; None: none did
    fallback: bool  # True: the policy did not answer in time or not well, and this is the safe default action
    error: str | None = None  # why, when `fallback`


class EpisodeMemory:
    """What one episode remembers between its decisions."""

    def __init__(self, episode_id: str | None = None) -> None:
        self.id = episode_id or uuid.uuid4().hex
        self.policy: str | None = None  # the version that answered last; None: none has
        self.moved = False
        self.decisions = 0  # answered by a policy
        self.fallbacks = 0
        self._first_receipt: str | None = None

    @property
    def receipt(self) -> str | None:
        """Receipt of the first decision; None: nothing was answered with one, so no outcome can be reported."""
        return self._first_receipt

    def item(self, observation: Any, *, deterministic: bool) -> dict[str, Any]:
        """Return the request item of the next decision.

        `step` counts the decisions a policy made. If the first attempt was lost the next one is step 0 again: an
        episode begins with the first answer that arrived.
        """
        item = {"observation": observation, "episode": self.id, "step": self.decisions}
        return item if deterministic else item | {"deterministic": False}

    @property
    def pin(self) -> object:
        """What decisions asked for in one request must have in common: the version, or nobody else's first decision.

        First decisions travel alone, since the gateway draws a version per request: asked together, the episodes of a
        vectorised environment would all begin on the same one.
        """
        return self.policy or self.id

    def headers(self) -> dict[str, str]:
        """Return the header that pins the episode, once there is a version to pin it to."""
        return {POLICY_HEADER: self.policy} if self.policy else {}

    def take(self, answer: Answer, receipt: str | None) -> None:
        """Remember an answer."""
        if answer.fallback:
            self.fallbacks += 1
            return
        self.moved |= self.policy is not None and answer.policy != self.policy
        self.policy = answer.policy
        self.decisions += 1
        self._first_receipt = self._first_receipt or receipt


def body(items: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> bytes:
    """Return the request body. NaN travels as it is: the server refuses that item alone, and says which."""
    return json.dumps(items, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    """Let numpy arrays and scalars through without importing numpy."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no observation: send numbers or nested lists of numbers")


def read(content: bytes, *, status: int, count: int, fallback: Any) -> list[tuple[Answer, str | None]]:
    """Return (answer, receipt) for each item asked, whatever came back."""
    try:
        value = json.loads(content)
    except ValueError:
        return [(failed(fallback, f"HTTP {status}, and no JSON"), None)] * count
    values = value if isinstance(value, list) else [value]
    if len(values) != count:
        error = _error(values[0]) if values else f"HTTP {status}"
        return [(failed(fallback, error), None)] * count
    return [_read_one(one, fallback) for one in values]


def _read_one(value: Any, fallback: Any) -> tuple[Answer, str | None]:
    if not isinstance(value, dict) or "action" not in value or "policy" not in value:
        return failed(fallback, _error(value)), None
    return Answer(value["action"], value["policy"], bool(value.get("fallback"))), value.get("receipt")


def _error(value: Any) -> str:
    try:
        return str(value["error"]["message"])
    except (KeyError, TypeError):
        return f"not an answer of a Belay policy: {str(value)[:200]}"


def failed(fallback: Any, error: str) -> Answer:
    """Return the safe default action."""
    return Answer(fallback, None, True, error)


def outcome(
    memory: EpisodeMemory,
    *,
    return_: float | None,
    length: int | None,
    violations: int | None,
    success: bool | None,
    custom: Mapping[str, float],
) -> dict[str, Any] | None:
    """Return the wire message about an ended episode; None when no decision of it can be proven.

    Raises: ValueError for NaN or infinities, and when nothing is told: leave out what was not measured.
    """
    told = {"return": return_, "length": length, "violations": violations, "success": success, **custom}
    values = {name: float(value) for name, value in told.items() if value is not None}
    if not values:
        raise ValueError("nothing is told about the episode: give at least one of return_, length, violations, success")
    if bad := [name for name, value in values.items() if not math.isfinite(value)]:
        raise ValueError(f"{', '.join(bad)}: outcomes are finite numbers; leave out what was not measured")
    if memory.receipt is None:
        return None
    return {"receipt": memory.receipt, "outcomes": values, "moved": memory.moved}
