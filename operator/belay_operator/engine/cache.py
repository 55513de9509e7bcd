"""The operator's memory of the API server: the latest known version of every object it cares for, and facts.

Two streams fill it: kopf's watches and the answers to our own writes. Versions decide between them: an older one is
ignored, an equal one is an echo, and a deletion leaves a tombstone so that a late answer cannot raise the dead. What a
watch never tells (deletions while it was broken) the resync finds by `prune`.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from belay_operator.engine import metrics
from belay_operator.engine.change import Change
from belay_operator.engine.indexes import INDEXES
from belay_operator.engine.resources import CACHED, INDEXED_LABELS
from belay_operator.engine.slim import Entry, entry_of, whole

TOMBSTONES = 10_000  # deletions remembered; a late answer is at most seconds late

Name = tuple[str, str]  # (namespace, name)
Listener = Callable[[Change], None]


class Cache:
    """Objects by kind and name; by owner, namespace, label and what else is indexed. Implements `kind.Reader`."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[Name, Entry]] = {resource.kind: {} for resource in CACHED}
        self._by_owner: dict[tuple[str, str], set[Name]] = {}
        self._by_namespace: dict[tuple[str, str], set[Name]] = {}
        self._by_label: dict[tuple[str, str, str, str], set[Name]] = {}
        self._by_index: dict[tuple[str, str, str, str], set[Name]] = {}
        self._facts: dict[tuple[str, str, str], Any] = {}
        self._tombstones: OrderedDict[tuple[str, Name], int] = OrderedDict()
        self._missing: set[str] = set()
        self._listeners: list[Listener] = []
        self.synced: set[str] = set()

    # --- reading ------------------------------------------------------------------------------------------------------
    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return the object, or None when it does not exist."""
        entry = self._entries[kind].get((namespace, name))
        return entry.obj if entry else None

    def whole(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return the object with its pod template, unpacked for this call."""
        entry = self._entries[kind].get((namespace, name))
        return whole(entry) if entry else None

    def entry(self, kind: str, namespace: str, name: str) -> Entry | None:
        """Return the object as kept, for the executor; None also for kinds that are not cached."""
        return self._entries.get(kind, {}).get((namespace, name))

    def keeps(self, kind: str) -> bool:
        """Return whether objects of `kind` are cached at all."""
        return kind in self._entries

    def owned(self, kind: str, owner_uid: str) -> list[Mapping[str, Any]]:
        """Return the objects of `kind` with an owner reference to `owner_uid`, as its controller or not."""
        return self._resolve(kind, self._by_owner.get((kind, owner_uid)))

    def in_namespace(self, kind: str, namespace: str) -> list[Mapping[str, Any]]:
        """Return all cached objects of `kind` in a namespace."""
        return self._resolve(kind, self._by_namespace.get((kind, namespace)))

    def labelled(self, kind: str, namespace: str, label: str, value: str) -> list[Mapping[str, Any]]:
        """Return the objects with an indexed label. Raises: KeyError for a label without index."""
        if label not in INDEXED_LABELS:
            raise KeyError(f"{label} is not indexed: add it to engine/resources.py")
        return self._resolve(kind, self._by_label.get((kind, namespace, label, value)))

    def indexed(self, index: str, kind: str, namespace: str, value: str) -> list[Mapping[str, Any]]:
        """Return the objects of a namespace that an index has under `value`. Raises: KeyError for an unknown index."""
        if index not in INDEXES[kind]:
            raise KeyError(f"{index} is no index of {kind}: add it to engine/indexes.py")
        return self._resolve(kind, self._by_index.get((index, kind, namespace, value)))

    def names(self, kind: str) -> Collection[Name]:
        """Return namespace and name of every cached object of `kind`."""
        return self._entries[kind].keys()

    def uids(self, kind: str) -> frozenset[str]:
        """Return the uids of all cached objects of `kind`, without a look into any of them."""
        return frozenset(entry.uid for entry in self._entries[kind].values())

    def serves(self, kind: str) -> bool:
        """Return whether this cluster serves the kind."""
        return kind not in self._missing

    def fact(self, topic: str, namespace: str, name: str) -> Any | None:
        """Return what a poller last wrote, or None when nothing was measured."""
        return self._facts.get((topic, namespace, name))

    def version(self, kind: str, namespace: str, name: str) -> int:
        """Return the resource version of an object, or -1 when it is not cached."""
        entry = self._entries[kind].get((namespace, name))
        return entry.version if entry else -1

    def count(self, kind: str, namespace: str | None = None) -> int:
        """Return the number of cached objects of `kind`; namespace None: in all."""
        return len(self._entries[kind] if namespace is None else self._by_namespace.get((kind, namespace), ()))

    def size(self) -> int:
        """Return the number of cached objects."""
        return sum(len(entries) for entries in self._entries.values())

    # --- writing ------------------------------------------------------------------------------------------------------
    def listen(self, listener: Listener) -> None:
        """Call `listener(change)` after every real change."""
        self._listeners.append(listener)

    def mark_missing(self, kind: str) -> None:
        """Note that the cluster does not serve `kind`; it then counts as synced and empty."""
        self._missing.add(kind)
        self.synced.add(kind)

    @property
    def complete(self) -> bool:
        """Whether every cached kind has been listed at least once."""
        return self.synced >= self._entries.keys()

    def put(self, kind: str, raw: Mapping[str, Any]) -> bool:
        """Store an object as watched, listed or answered; return whether it was news."""
        meta = raw["metadata"]
        name, version = (meta["namespace"], meta["name"]), int(meta["resourceVersion"])
        before = self._entries[kind].get(name)
        if before and before.version >= version:
            return False
        if self._tombstones.get((kind, name), -1) >= version:
            return False
        entry = entry_of(kind, raw)
        if before:
            self._unindex(kind, name, before)
        self._entries[kind][name] = entry
        self._index(kind, name, entry)
        if not before:
            metrics.CACHE_OBJECTS.labels(kind).inc()
        if before and before.uid != entry.uid:
            self._tell(kind, before.obj, None)  # two objects in a row under one name: the first one is gone
            self._tell(kind, None, entry.obj)
        else:
            self._tell(kind, before.obj if before else None, entry.obj)
        if before:
            before.drop()
        return True

    def remove(self, kind: str, namespace: str, name: str, *, version: int) -> bool:
        """Forget an object deleted at resource version `version`; return whether it was known."""
        key = (namespace, name)
        self._tombstones[kind, key] = max(version, self._tombstones.get((kind, key), -1))
        self._tombstones.move_to_end((kind, key))
        if len(self._tombstones) > TOMBSTONES:
            self._tombstones.popitem(last=False)
        before = self._entries[kind].get(key)
        if before is None or before.version > version:
            return False
        del self._entries[kind][key]
        self._unindex(kind, key, before)
        metrics.CACHE_OBJECTS.labels(kind).dec()
        self._tell(kind, before.obj, None)
        before.drop()
        return True

    def prune(self, kind: str, present: Iterable[Name], *, version: int, namespace: str | None = None) -> list[Name]:
        """Forget what a complete list at `version` no longer shows; return the names.

        Args:
            namespace: The list covered only this one; None: all.
        """
        keep = set(present)
        gone = [
            name
            for name, entry in self._entries[kind].items()
            if name not in keep and entry.version <= version and namespace in (None, name[0])
        ]
        for one in gone:
            self.remove(kind, *one, version=version)
        return gone

    def put_fact(self, topic: str, namespace: str, name: str, value: Any) -> None:
        """Store what a poller learned; None forgets it, which is the poller's duty once nobody asks any more."""
        if value is None:
            self._facts.pop((topic, namespace, name), None)
        else:
            self._facts[topic, namespace, name] = value

    # --- helpers ------------------------------------------------------------------------------------------------------
    def _resolve(self, kind: str, found: set[Name] | None) -> list[Mapping[str, Any]]:
        # Sorted: a decision must not depend on the order in which a set happens to give its members.
        entries = self._entries[kind]
        return [entries[name].obj for name in sorted(found)] if found else []

    def _tell(self, kind: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        change = Change(kind, before, after)
        for listener in self._listeners:
            listener(change)

    def _indexes(self, kind: str, name: Name, entry: Entry) -> Iterable[tuple[dict[Any, set[Name]], Any]]:
        meta = entry.obj["metadata"]
        yield self._by_namespace, (kind, name[0])
        for reference in meta.get("ownerReferences") or ():
            yield self._by_owner, (kind, reference["uid"])
        labels = meta.get("labels") or {}
        for label in INDEXED_LABELS:
            if label in labels:
                yield self._by_label, (kind, name[0], label, labels[label])
        for index, values in INDEXES.get(kind, {}).items():
            for value in values(entry.obj):
                yield self._by_index, (index, kind, name[0], value)

    def _index(self, kind: str, name: Name, entry: Entry) -> None:
        for index, key in self._indexes(kind, name, entry):
            index.setdefault(key, set()).add(name)

    def _unindex(self, kind: str, name: Name, entry: Entry) -> None:
        for index, key in self._indexes(kind, name, entry):
            members = index[key]
            members.discard(name)
            if not members:
                del index[key]
