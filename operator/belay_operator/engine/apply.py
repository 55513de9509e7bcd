"""Carry a plan out: status, create, apply, delete, events, in this order. Nothing that is not ours is applied over.

The recorded intent goes first, so a process that dies on any line leaves a world that the next pass can read, and an
intent to roll back waits for no other call. A child that is blocked stops nothing else: it is said in the status, which
then is written once more (see `blocked.py`), and told in an Event. Every write is one that may be repeated: a create
finds what it made before, an apply names the whole wanted content, a status replaces the version it was decided on, a
delete names the uid. What the API server answers goes into the cache at once, so the next pass never works on what it
has itself already changed.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from belay_api import names
from belay_api.reasons import EventReason
from belay_operator.engine import metrics
from belay_operator.engine.blocked import (
    CHILD_REFUSED,
    Blocked,
    BlockedChildren,
    blocked_condition,
    conflict,
    keep_blocked,
    refused,
    with_blocked,
)
from belay_operator.engine.cache import Cache
from belay_operator.engine.client import Client, Object
from belay_operator.engine.drift import Drift, stamped
from belay_operator.engine.errors import Conflict, Forbidden, NotFound, Refused, Terminating
from belay_operator.engine.events import Events
from belay_operator.engine.foreign import is_foreign, owned
from belay_operator.engine.plan import Manifest, Note, Plan, Ref


@dataclass(frozen=True, slots=True)
class _Child:
    """A child that is not as wanted."""

    manifest: Manifest  # complete: with our label and its digest
    digest: str
    create: bool  # true: made where nothing has its name, and never looked at


class Executor:
    """The only part that writes to the API server on behalf of a decision."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        events: Events,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._cache, self._events, self._now = client, cache, events, now
        self._drift = Drift(cache, clock)

    async def execute(self, obj: Mapping[str, Any], plan: Plan, *, urgent: bool = False) -> int:
        """Carry out `plan` for `obj` and return the number of writes made.

        Args:
            obj: The object as the decision saw it; its resource version guards the status.
            urgent: Calls pass the rate limit.
        Raises: ApiError of the first write that failed; the later ones were not tried. Conflict after the cache has
            been given the live object, so that deciding again at once is right. BlockedChildren when people must do
            something before a child can be made; everything else was done.
        """
        writes, blocked = 0, list[Blocked]()
        missing = self._missing(obj, plan)
        status = keep_blocked(obj, plan.status) if missing else plan.status
        written, latest = obj.get("status") or {}, obj
        if status is not None and status != written:
            written, latest = status, await self._status(latest, status, urgent)
            writes += 1
        try:
            for child in missing:
                why = await (self._create if child.create else self._apply)(obj, child, urgent)
                if why is None:
                    writes += 1
                else:
                    blocked.append(why)
            for ref in plan.delete:
                writes += await self._delete(ref, urgent)
        finally:
            # Also when one of these failed: what the status now records is not decided again, and never told later.
            for note in plan.events:
                self._events.tell(obj, note)
        final = with_blocked(obj, plan.status, blocked, self._now()) if blocked else plan.status
        if final is not None and final != written:
            await self._status(latest, final, urgent)
            writes += 1
        if blocked:
            self._tell(obj, blocked)
            raise BlockedChildren(" ".join(one.sentence for one in blocked))
        return writes

    def _missing(self, obj: Mapping[str, Any], plan: Plan) -> list[_Child]:
        """Return the children that a create or an apply would change, or might."""
        missing = []
        for manifest, create in (*((one, True) for one in plan.create), *((one, False) for one in plan.apply)):
            full, digest = stamped(_managed(manifest))
            if self._drift.in_sync(obj, full, digest):
                metrics.APPLIES_SAVED.labels(manifest["kind"]).inc()
            elif not self._is_going(manifest):
                missing.append(_Child(full, digest, create))
        return missing

    def _is_going(self, manifest: Manifest) -> bool:
        """Whether the child's name is taken by one that is being deleted: that event brings the next pass."""
        entry = self._cache.entry(manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        return entry is not None and "deletionTimestamp" in entry.obj["metadata"]

    async def _status(self, obj: Mapping[str, Any], status: Mapping[str, Any], urgent: bool) -> Object:
        """Write the status and return the object as it then is."""
        meta = obj["metadata"]
        kind, namespace, name = obj["kind"], meta["namespace"], meta["name"]
        try:
            answer = await self._client.replace_status(obj, status, urgent=urgent)
        except Conflict:  # mostly somebody changed a label
            await self._look(kind, namespace, name, urgent)
            raise
        self._cache.put(kind, answer)
        return answer

    async def _look(self, kind: str, namespace: str, name: str, urgent: bool) -> None:
        """Give the cache the live object, so that the next pass decides on what is there."""
        live = await self._client.get(kind, namespace, name, urgent=urgent)
        if live is not None:
            self._cache.put(kind, live)

    async def _create(self, obj: Mapping[str, Any], child: _Child, urgent: bool) -> Blocked | None:
        """Create the child; return what it is blocked by, or None when something has its name."""
        try:
            await self._client.create(child.manifest, urgent=urgent)
        except Terminating:
            raise
        except Conflict:  # made before, by a process that is gone perhaps; or somebody else's, who keeps it
            pass
        except (Refused, Forbidden) as error:
            return refused(child.manifest, error)
        self._drift.remember(obj, child.manifest, child.digest, {})
        return None

    async def _apply(self, obj: Mapping[str, Any], child: _Child, urgent: bool) -> Blocked | None:
        """Apply the child; return what it is blocked by, or None when it is made."""
        kind, meta = child.manifest["kind"], child.manifest["metadata"]
        if await self._is_taken(child.manifest, urgent):
            return conflict(child.manifest)
        try:
            answer = await self._client.apply(child.manifest, urgent=urgent)
        except Terminating:
            raise
        except Conflict:  # only a manifest that names a resource version can meet one
            await self._look(kind, meta["namespace"], meta["name"], urgent)
            raise
        except (Refused, Forbidden) as error:  # not valid, or a quota, an admission policy or RBAC says no
            return refused(child.manifest, error)
        if self._cache.keeps(kind):
            self._cache.put(kind, answer)
        self._drift.remember(obj, child.manifest, child.digest, answer)
        return None

    async def _is_taken(self, manifest: Manifest, urgent: bool) -> bool:
        """Whether what has the child's name is not ours; only asked of a child that we do not know to exist."""
        kind, namespace, name = manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        if not owned(manifest) or self._cache.entry(kind, namespace, name) is not None:
            return False
        live = await self._client.get(kind, namespace, name, urgent=urgent)
        return live is not None and is_foreign(live, manifest)

    def _tell(self, obj: Mapping[str, Any], blocked: Iterable[Blocked]) -> None:
        """Post what the API server refuses, unless that is recorded already."""
        recorded = (blocked_condition(obj) or {}).get("message", "")
        for one in blocked:
            if one.reason == CHILD_REFUSED and one.sentence not in recorded:
                self._events.tell(obj, Note(EventReason.CHILD_REFUSED, one.sentence, warning=True))

    async def _delete(self, ref: Ref, urgent: bool) -> int:
        # Never destroy on the cache's word.
        live = await self._client.get(ref.kind, ref.namespace, ref.name, urgent=urgent)
        if live is None or live["metadata"]["uid"] != ref.uid or "deletionTimestamp" in live["metadata"]:
            return 0
        try:
            await self._client.delete(ref.kind, ref.namespace, ref.name, uid=ref.uid, urgent=urgent)
        except NotFound:
            return 0
        return 1


def _managed(manifest: Manifest) -> Manifest:
    """Add the label by which children are watched: without it our own object would be invisible to us."""
    meta = manifest["metadata"]
    labels = {**meta.get("labels", {}), names.MANAGED_BY_LABEL: names.MANAGED_BY}
    return {**manifest, "metadata": {**meta, "labels": labels}}
