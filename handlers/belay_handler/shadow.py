"""What this pod tells of its decisions while one version is the shadow of another; see `belay_api.shadowing`.

A pod of the shadow answers mirrors, and the gateway drops those answers. A pod of any other version answers callers.
Both tell the logbook what they decided under the id of the request. Telling is bounded: above a rate, only of deep ids,
which are the same ones on both sides; and while the logbook is away, of no more than a buffer holds.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from belay_api.names import SEAL_HEADER
from belay_api.shadowing import MAX_DEPTH, ShadowStep, depth_of, seal
from belay_api.spaces import BoxSpace, Space
from belay_api.wire import NotCompared
from belay_handler.reporter import Reporter

PERIOD_S = 0.5
RATE = 100  # decisions told a second: in ten minutes more pairs than any verdict needs
CALM = 20  # periods well below the rate until more is told again
BUFFER = 5_000  # decisions kept while the logbook is away: a few MB
ITEMS = 16  # of a list; the same ones on both sides
MOST_NUMBERS = 64
LONGEST_CHOICE = 64
_DIGITS = 6

Told = dict[str, Any]
"""A `wire.ShadowDecision` as JSON."""


class ShadowReporter(Reporter[Told]):
    """Sends decisions to the logbook."""

    what = "decisions of a shadow step"
    path = "shadows"
    most = BUFFER
    at_once = 1_000

    def __init__(
        self, url: str, namespace: str, token_file: Path, *, key: bytes | None, period_s: float = PERIOD_S
    ) -> None:
        """Set up; starts nothing.

        Args:
            key: The namespace's receipt key; None: the pod has none, and the logbook will take nothing of it.
        """
        super().__init__(url, namespace, token_file, period_s=period_s)
        self._key = key
        self._most_a_period = max(1, round(RATE * period_s))
        self._fresh = 0  # decisions in this period
        self._calm = 0  # periods with few
        self.depth = 0  # of the ids that are told of

    def wants(self, request: bytes | None) -> bool:
        """Whether to tell of a request with this id; of those without one, now and then."""
        if request is None:
            return self._fresh == 0
        return depth_of(request) >= self.depth

    def add(self, one: Told) -> None:
        """Remember one decision; returns at once."""
        self._fresh += 1
        if self._fresh > self._most_a_period:
            self._fresh, self.depth = 0, min(self.depth + 1, MAX_DEPTH)
        super().add(one)

    def pause_over(self) -> None:
        """Tell of more again after a while with little to tell."""
        self._calm = self._calm + 1 if self._fresh < self._most_a_period / 4 else 0
        self._fresh = 0
        if self._calm >= CALM:
            self._calm, self.depth = 0, max(self.depth - 1, 0)

    def body(self, taken: Sequence[Told]) -> bytes:
        """Return a batch of decisions."""
        return orjson.dumps({"items": list(taken)})

    def headers(self, body: bytes) -> dict[str, str]:
        """Return the proof that a serving pod wrote it."""
        return {} if self._key is None else {SEAL_HEADER: seal(body, self._key)}


class Teller:
    """Puts this pod's decisions into words that both sides share."""

    def __init__(self, policy: str, action: Space, reporter: ShadowReporter) -> None:
        self._policy = policy
        self._reporter = reporter
        self._space = hashlib.sha256(action.model_dump_json().encode()).hexdigest()[:16]
        self._box = action if isinstance(action, BoxSpace) else None
        if self._box is not None:
            low, high = (
                np.array([math.nan if bound is None else bound for bound in bounds], np.float64)
                for bounds in (self._box.low, self._box.high)
            )
            self._low, self._width = low, high - low
            self._ranged = bool(np.isfinite(self._width).all())

    def wants(self, request: bytes | None) -> bool:
        """Whether to tell of a request with this id."""
        return self._reporter.wants(request)

    def tell(
        self,
        *,
        rollout: str,
        step: ShadowStep,
        request: bytes | None,
        item: int,
        seconds: float,
        status: int,
        episode: str | None,
        action: Any,
        not_compared: NotCompared | None,
    ) -> None:
        """Remember one decision, to be told.

        Args:
            action: As it is answered; None: it is an error.
        """
        said: Told = {
            "rollout": rollout,
            "step": step.step,
            "candidate": step.policy,
            "version": self._policy,
            "request": None if request is None else request.decode("latin-1"),
            "item": item,
            "depth": self._reporter.depth,
            "seconds": round(seconds, _DIGITS),
            "status": status,
            "episode": episode,
            "space": self._space,
            "notCompared": not_compared,
        }
        if action is not None:
            said |= self._form(action)
        self._reporter.add(said)

    def _form(self, action: Any) -> Told:
        if self._box is None:
            choice = orjson.dumps(action).decode()
            return {"choice": choice} if len(choice) <= LONGEST_CHOICE else {"notCompared": NotCompared.LARGE}
        numbers = np.asarray(action, np.float64).reshape(-1)
        if numbers.size > MOST_NUMBERS:
            return {"notCompared": NotCompared.LARGE}
        if self._ranged:
            numbers = np.where(self._width > 0, (numbers - self._low) / np.where(self._width > 0, self._width, 1), 0.0)
        return {"numbers": np.round(numbers, _DIGITS).tolist(), "ranged": self._ranged}
