"""Carry a plan out: status, apply, delete, events, in this order. Nothing that is not ours is applied over.

The recorded intent goes first, so a process that dies on any line leaves a world that the next pass can read. Every
write is one that may be repeated: an apply names the whole wanted content, a status replaces the version it was decided
on, a delete names the uid. What the API server answers goes into the cache at once, so the next pass never works on
what it has itself already changed.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from belay_api import names
from belay_api.reasons import EventReason
from belay_operator.engine import metrics
from belay_operator.engine.cache import Cache
from belay_operator.engine.change import Change
from belay_operator.engine.client import Client, Object
from belay_operator.engine.drift import Drift, stamped
from belay_operator.engine.errors import Conflict, Forbidden, NotFound, Refused, Terminating
from belay_operator.engine.events import Events
from belay_operator.engine.foreign import ForeignObject, is_foreign, owned, sentence, told
from belay_operator.engine.plan import Key, Manifest, Note, Plan, Ref

TRUST = timedelta(minutes=10)
"""How long a kind that is not cached (ConfigMap, Secret) is believed to be as we last applied it."""
TIDY = 1_000  # memories of trust after which the old ones are dropped

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Trust:
    """What an apply of an object that is not cached has left."""

    digest: str
    at: float  # by our clock, seconds
    owner: Key  # the object whose pass applied it
    uid: str  # of the owner


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
        self._client, self._cache, self._events, self._clock, self._now = client, cache, events, clock, now
        self._drift = Drift()
        self._trusted: dict[tuple[str, str, str], _Trust] = {}
        self._tidy_at = TIDY
        cache.listen(self._forget_gone)

    async def execute(self, obj: Mapping[str, Any], plan: Plan, *, urgent: bool = False) -> int:
        """Carry out `plan` for `obj` and return the number of writes made.

        Args:
            obj: The object as the decision saw it; its resource version guards the status.
            urgent: Calls pass the rate limit.
        Raises: ApiError of the first write that failed; the later ones were not tried. Conflict after the cache has
            been given the live object, so that deciding again at once is right. ForeignObject when a child's name is
            taken; everything else was done.
        """
        writes = 0
        # Asked before the status is written, which says so: two statuses in turn would be writes without end.
        foreign = [manifest for manifest in plan.apply if await self._foreign(obj, manifest, urgent)]
        status = told(obj, plan.status, foreign, self._now()) if foreign else plan.status
        if status is not None and status != (obj.get("status") or {}):
            await self._status(obj, status, urgent)
            writes += 1
        try:
            for manifest in plan.apply:
                if manifest not in foreign:
                    writes += await self._apply(obj, manifest, urgent)
            for ref in plan.delete:
                writes += await self._delete(ref, urgent)
        finally:
            # Also when one of these failed: what the status now records is not decided again, and never told later.
            for note in plan.events:
                self._events.tell(obj, note)
        if foreign:
            raise ForeignObject(sentence(foreign))
        return writes

    async def _foreign(self, obj: Mapping[str, Any], manifest: Manifest, urgent: bool) -> bool:
        """Whether what has the child's name is not ours; only asked of a child that we do not know to exist."""
        kind, namespace, name = manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        if not owned(manifest) or self._cache.entry(kind, namespace, name) is not None:
            return False
        full, digest = stamped(_managed(manifest))
        if self._trusts(full, digest):
            return False
        live = await self._client.get(kind, namespace, name, urgent=urgent)
        return live is not None and is_foreign(live, manifest)

    async def _status(self, obj: Mapping[str, Any], status: Mapping[str, Any], urgent: bool) -> None:
        meta = obj["metadata"]
        kind, namespace, name = obj["kind"], meta["namespace"], meta["name"]
        try:
            self._cache.put(kind, await self._client.replace_status(obj, status, urgent=urgent))
        except Conflict:
            # Mostly somebody changed a label. Look, and decide again on what is there.
            live = await self._client.get(kind, namespace, name, urgent=urgent)
            if live is not None:
                self._cache.put(kind, live)
            raise

    async def _apply(self, obj: Mapping[str, Any], manifest: Manifest, urgent: bool) -> int:
        kind, meta = manifest["kind"], manifest["metadata"]
        full, digest = stamped(_managed(manifest))
        entry = self._cache.entry(kind, meta["namespace"], meta["name"])
        if self._trusts(full, digest) or self._drift.in_sync(full, digest, entry):
            metrics.APPLIES_SAVED.labels(kind).inc()
            return 0
        if entry is not None and "deletionTimestamp" in entry.obj["metadata"]:
            return 0  # its name is taken until it is gone; that event brings the next pass
        try:
            answer = await self._client.apply(full, urgent=urgent)
        except Terminating:
            raise
        except (Refused, Forbidden) as error:  # not valid, or a quota, an admission policy or RBAC says no
            text = f"{kind} {meta['name']} was refused by the API server and is not changed: {error.message}"
            self._events.tell(obj, Note(EventReason.CHILD_REFUSED, text, warning=True))
            raise
        self._keep(obj, full, digest, answer)
        return 1

    def _keep(self, obj: Mapping[str, Any], manifest: Manifest, digest: str, answer: Object) -> None:
        kind, meta = manifest["kind"], manifest["metadata"]
        if self._cache.keeps(kind):
            self._cache.put(kind, answer)
            entry = self._cache.entry(kind, meta["namespace"], meta["name"])
            if entry is not None and entry.version == int(answer["metadata"]["resourceVersion"]):
                self._drift.remember(manifest, digest, entry)
        else:
            if len(self._trusted) >= self._tidy_at:  # owners come and go: forget what is no longer believed anyway
                self._trusted = {key: trust for key, trust in self._trusted.items() if self._holds(trust)}
                self._tidy_at = max(TIDY, 2 * len(self._trusted))
            owner = Key(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])
            trust = _Trust(digest, self._clock(), owner, obj["metadata"]["uid"])
            self._trusted[kind, meta["namespace"], meta["name"]] = trust

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

    def _forget_gone(self, change: Change) -> None:
        """Forget how a child looked once it is gone: most go with their owner, and nobody asks for them again."""
        if change.after is None:
            self._drift.forget(change.kind, *change.name)

    def _trusts(self, manifest: Manifest, digest: str) -> bool:
        meta = manifest["metadata"]
        trust = self._trusted.get((manifest["kind"], meta["namespace"], meta["name"]))
        return trust is not None and trust.digest == digest and self._holds(trust)

    def _holds(self, trust: _Trust) -> bool:
        """Trust ends with the object it was won for: a namespace deleted and made anew took what we applied with it."""
        owner = self._cache.entry(trust.owner.kind, trust.owner.namespace, trust.owner.name)
        lives = owner is not None and owner.obj["metadata"]["uid"] == trust.uid
        return lives and self._clock() - trust.at < TRUST.total_seconds()


def _managed(manifest: Manifest) -> Manifest:
    """Add the label by which children are watched: without it our own object would be invisible to us."""
    meta = manifest["metadata"]
    labels = {**meta.get("labels", {}), names.MANAGED_BY_LABEL: names.MANAGED_BY}
    return {**manifest, "metadata": {**meta, "labels": labels}}
