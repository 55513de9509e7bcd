"""One pass over one object: read the cache, observe, decide, carry out. Every kind goes through this function.

A pass that wrote something is followed by another at once, until a pass finds nothing to write: a kind may take one
small step per pass and never waits for its own echo. A kind that finds something to write for ever is a bug; it is
slowed down like any failure, so that it cannot eat the API server, until a pass finds nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from belay_operator.engine import metrics
from belay_operator.engine.apply import Executor
from belay_operator.engine.blocked import BlockedChildren
from belay_operator.engine.cache import Cache
from belay_operator.engine.debounce import Debounce
from belay_operator.engine.errors import ApiError, Conflict, NotFound, Terminating
from belay_operator.engine.kind import Kind, Priority
from belay_operator.engine.plan import Key, Plan, Settings
from belay_operator.engine.queue import Result
from belay_operator.engine.slim import unreadable

CONFLICTS = 3  # decisions remade at once after a conflict, before the queue's back-off takes over
CHURN = 40  # passes with writes in a row within the window; the next one is a failure
CHURN_WINDOW = timedelta(seconds=30)

log = logging.getLogger(__name__)


class Churning(Exception):
    """Pass after pass found something to write; the object is left alone for a while."""


@dataclass(frozen=True, slots=True)
class _Streak:
    """Passes over one key that all wrote something."""

    passes: int
    since: datetime


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
        self._debounce = Debounce(clock)
        self._streaks: dict[Key, _Streak] = {}

    def priority(self, key: Key) -> Priority:
        """Return the queue priority of an object as the cache has it; unknown objects come last."""
        obj = self._cache.get(key.kind, key.namespace, key.name)
        return self._kinds[key.kind].priority(obj, self._cache) if obj is not None else Priority.REST

    def asked(self, key: Key) -> object:
        """Return what people ask of an object, as the cache has it: spec and annotations, which we never write."""
        obj = self._cache.get(key.kind, key.namespace, key.name)
        if obj is None:
            return None
        meta = obj["metadata"]
        return meta["uid"], meta.get("generation"), meta.get("annotations")

    async def __call__(self, key: Key) -> Result:
        """Make one pass over `key`. What went wrong with a write is in the result; conditions stay as they are.

        Raises: whatever went wrong before there was a plan.
        """
        started, outcome = time.monotonic(), "error"
        try:
            result = await self._pass(key)
            for _ in range(CONFLICTS - 1):
                if isinstance(result.error, Conflict):
                    result = await self._pass(key)
            outcome = "ok" if result.error is None else "error"
            return result
        finally:
            metrics.RECONCILES.labels(key.kind, outcome).inc()
            metrics.RECONCILE_SECONDS.labels(key.kind).observe(time.monotonic() - started)

    async def _pass(self, key: Key) -> Result:
        obj = self._cache.get(key.kind, key.namespace, key.name)
        if obj is None or "deletionTimestamp" in obj["metadata"]:
            self._streaks.pop(key, None)
            self._debounce.forget(key)
            return Result()  # gone or going: the garbage collector takes what it owned
        kind = self._kinds[key.kind]
        plan = self._debounce.filter(key, self._decide(kind, obj))
        urgent = self._priority_of(kind, obj, plan) == Priority.ROLLBACK
        try:
            writes = await self._executor.execute(obj, plan, urgent=urgent)
        except Terminating:
            return Result()  # the namespace takes everything with it; the deletions come as events
        except (ApiError, BlockedChildren) as error:
            if isinstance(error, NotFound) and self._cache.get(key.kind, key.namespace, key.name) is not obj:
                return Result(requeue=True)  # it was deleted or changed while we worked: look again
            return Result(requeue_after=plan.requeue_after, error=error)
        if not writes:
            self._streaks.pop(key, None)
            return Result(requeue_after=plan.requeue_after)
        churning = self._churning(key)
        return Result(requeue=churning is None, requeue_after=plan.requeue_after, error=churning)

    def _decide(self, kind: Kind, obj: Mapping[str, Any]) -> Plan:
        if (fault := unreadable(obj)) is not None:
            return kind.invalid(obj, fault, self._now())
        try:
            observed = kind.observe(obj, self._cache, self._settings)
        except ValueError as error:  # pydantic's ValidationError is one: the spec cannot be read as written
            return kind.invalid(obj, _sentence(error), self._now())
        return kind.decide(observed, self._now())

    def _priority_of(self, kind: Kind, obj: Mapping[str, Any], plan: Plan) -> Priority:
        # The pass that records the intent to roll back is itself urgent: judge by the status it is about to write.
        return kind.priority(obj if plan.status is None else {**obj, "status": plan.status}, self._cache)

    def _churning(self, key: Key) -> Churning | None:
        """Count a pass that wrote something; return what is wrong when too many did so in a row.

        One more pass is let through after that: if it finds nothing to write, somebody had kept changing the world, and
        it is over.
        """
        now = self._now()
        streak = self._streaks.get(key)
        if streak is None or now - streak.since > CHURN_WINDOW:
            streak = _Streak(0, now)
        if streak.passes < CHURN:
            self._streaks[key] = _Streak(streak.passes + 1, streak.since)
            return None
        self._streaks[key] = _Streak(CHURN - 1, now)
        metrics.CHURN.labels(key.kind).inc()
        return Churning(f"{CHURN} passes in a row wrote something; please report this with the object's YAML")


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
