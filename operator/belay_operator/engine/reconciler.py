"""One pass over one object: read the cache, observe, decide, carry out. Every kind goes through this function.

A pass that wrote something is followed by another at once, until a pass finds nothing to write: a kind may take one
small step per pass and never waits for its own echo. A kind that finds something to write for ever is a bug; it is
slowed down like any failure, so that it cannot eat the API server.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from belay_operator.engine import metrics
from belay_operator.engine.apply import Executor
from belay_operator.engine.cache import Cache
from belay_operator.engine.errors import Conflict, NotFound, Terminating
from belay_operator.engine.holdback import HoldBack
from belay_operator.engine.kind import Kind
from belay_operator.engine.plan import Key, Plan, Settings
from belay_operator.engine.slim import unreadable

CONFLICTS = 3  # decisions remade at once after a conflict, before the queue's back-off takes over
CHURN = 40  # passes with writes in a row, each right after the one before
CHURN_WINDOW = timedelta(seconds=30)
URGENT = 0  # the priority of rollbacks

log = logging.getLogger(__name__)


class Churning(Exception):
    """Pass after pass found something to write; the object is left alone for a while."""


class Reconciler:
    """The queue's handler."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        cache: Cache,
        executor: Executor,
        settings: Settings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kinds, self._cache, self._executor, self._settings = kinds, cache, executor, settings
        self._now = now
        self.again: Callable[[Key], None] = lambda key: None
        """How a pass asks for the next one; set by whoever owns the queue."""
        self._held_back = HoldBack(clock)
        self._streaks: dict[Key, tuple[int, datetime]] = {}

    def priority(self, key: Key) -> int:
        """Return the queue priority of an object as the cache has it; unknown objects come last."""
        obj = self._cache.get(key.kind, key.namespace, key.name)
        return self._kinds[key.kind].priority(obj, self._cache) if obj is not None else 2

    async def __call__(self, key: Key) -> timedelta | None:
        """Make one pass over `key`; return when to look again without news.

        Raises: whatever went wrong; conditions stay as they are, the queue tries again later.
        """
        started, result = time.monotonic(), "error"
        try:
            for attempt in range(1, CONFLICTS + 1):
                try:
                    again = await self._pass(key)
                except Conflict:
                    if attempt == CONFLICTS:
                        raise
                else:
                    result = "ok"
                    return again
            raise AssertionError("unreachable: the last conflict is raised")
        finally:
            metrics.RECONCILES.labels(key.kind, result).inc()
            metrics.RECONCILE_SECONDS.labels(key.kind).observe(time.monotonic() - started)

    async def _pass(self, key: Key) -> timedelta | None:
        obj = self._cache.get(key.kind, key.namespace, key.name)
        if obj is None or "deletionTimestamp" in obj["metadata"]:
            self._streaks.pop(key, None)
            self._held_back.forget(key)
            return None  # gone or going: the garbage collector takes what it owned
        kind = self._kinds[key.kind]
        plan = self._held_back.filter(key, self._decide(kind, obj))
        try:
            writes = await self._executor.execute(obj, plan, urgent=self._priority_of(kind, obj, plan) == URGENT)
        except Terminating:
            return None  # the namespace takes everything with it; the deletions come as events
        except NotFound:
            if self._cache.get(key.kind, key.namespace, key.name) is not obj:
                return timedelta(0)  # it was deleted or changed while we worked: look again
            raise
        if writes:
            self._note_writes(key)
            self.again(key)
        else:
            self._streaks.pop(key, None)
        return plan.again_after

    def _decide(self, kind: Kind, obj: Mapping[str, Any]) -> Plan:
        if (fault := unreadable(obj)) is not None:
            return kind.invalid(obj, fault, self._now())
        try:
            observed = kind.observe(obj, self._cache, self._settings)
        except ValueError as error:  # pydantic's ValidationError is one: the spec cannot be read as written
            return kind.invalid(obj, _sentence(error), self._now())
        return kind.decide(observed, self._now())

    def _priority_of(self, kind: Kind, obj: Mapping[str, Any], plan: Plan) -> int:
        # The pass that records the intent to roll back is itself urgent: judge by the status it is about to write.
        return kind.priority(obj if plan.status is None else {**obj, "status": plan.status}, self._cache)

    def _note_writes(self, key: Key) -> None:
        count, since = self._streaks.get(key, (0, self._now()))
        if count and self._now() - since > CHURN_WINDOW:
            count, since = 0, self._now()
        self._streaks[key] = (count + 1, since)
        if count + 1 > CHURN:
            del self._streaks[key]
            metrics.CHURN.labels(key.kind).inc()
            raise Churning(f"{CHURN} passes in a row wrote something; please report this with the object's YAML")


def _sentence(error: ValueError) -> str:
    """Return the error for a condition: which field, what is wrong, what to do."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return str(error)
    parts = []
    for one in errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in one["loc"]) or "object"
        parts.append(f"{where}: {one['msg']}")
    shown = "; ".join(parts[:5]) + (f"; and {len(parts) - 5} more" if len(parts) > 5 else "")
    return f"{shown}. Nothing is changed until the spec is corrected."
