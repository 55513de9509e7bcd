"""Tell whether an apply would change anything, so that a world that is as wanted costs no call.

Of a cached child, three questions, cheapest first. Did we apply exactly this manifest (annotation)? Has anybody touched
the object since we last saw it right (fingerprint)? If somebody has, is everything we want still in it (subset)? The
API server rewrites some values in its own way ("1000m" becomes "1"); then the third question says no for ever, but one
apply that leaves the fingerprint as it was answers the second.

A ConfigMap or a Secret is not cached: it is believed to be as we last applied it, for a while, and while the owner it
was applied for lives. A namespace deleted and made anew took what we applied with it.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from belay_api import names
from belay_operator.engine.cache import Cache
from belay_operator.engine.slim import whole

APPLIED_ANNOTATION = f"{names.GROUP}/applied"
"""Digest of the manifest as last applied. A field that we no longer want is found by it alone."""
BELIEVED = timedelta(minutes=10)
"""How long a child that is not cached is believed to be as we last applied it."""
TIDY = 1_000  # children remembered, after which those that are gone are dropped


def stamped(manifest: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the manifest with its digest as an annotation, and the digest."""
    digest = hashlib.blake2b(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
    meta = manifest["metadata"]
    annotations = {**meta.get("annotations", {}), APPLIED_ANNOTATION: digest}
    return {**manifest, "metadata": {**meta, "annotations": annotations}}, digest


@dataclass(frozen=True, slots=True)
class _Right:
    """A child as it was when it was right."""

    digest: str  # of the manifest
    fingerprint: bytes | None  # of the object in the cache; None: its kind is not cached
    until: float  # by our clock, in seconds; only for a kind that is not cached
    owner: tuple[str, str, str]  # kind, namespace and name of the object whose pass applied it
    uid: str  # of the owner


class Drift:
    """Remembers, for each child, how it looked when it was right."""

    def __init__(self, cache: Cache, clock: Callable[[], float]) -> None:
        self._cache, self._clock = cache, clock
        self._right: dict[tuple[str, str, str], _Right] = {}
        self._tidy_at = TIDY

    def in_sync(self, obj: Mapping[str, Any], manifest: Mapping[str, Any], digest: str) -> bool:
        """Return whether the child of `obj` is, or is believed to be, what an apply of `manifest` would make it."""
        key = _key(manifest)
        right = self._right.get(key)
        if not self._cache.keeps(key[0]):
            return right is not None and right.digest == digest and self._holds(key, right)
        entry = self._cache.entry(*key)
        if entry is None or "deletionTimestamp" in entry.obj["metadata"]:
            return False
        if entry.obj["metadata"].get("annotations", {}).get(APPLIED_ANNOTATION) != digest:
            return False
        if right is not None and (right.digest, right.fingerprint) == (digest, entry.fingerprint):
            return True
        if not _contains(whole(entry), manifest):
            return False
        self._remember(obj, key, digest, entry.fingerprint)
        return True

    def remember(
        self, obj: Mapping[str, Any], manifest: Mapping[str, Any], digest: str, answer: Mapping[str, Any]
    ) -> None:
        """Take the object an apply was answered with as right; the cache has it already, if it keeps the kind."""
        key = _key(manifest)
        if not self._cache.keeps(key[0]):
            self._remember(obj, key, digest, None)
            return
        entry = self._cache.entry(*key)
        if entry is not None and entry.version == int(answer["metadata"]["resourceVersion"]):
            self._remember(obj, key, digest, entry.fingerprint)

    def _remember(
        self, obj: Mapping[str, Any], key: tuple[str, str, str], digest: str, fingerprint: bytes | None
    ) -> None:
        if len(self._right) >= self._tidy_at:  # owners come and go, and take their children with them
            self._right = {known: right for known, right in self._right.items() if self._holds(known, right)}
            self._tidy_at = max(TIDY, 2 * len(self._right))
        until = self._clock() + BELIEVED.total_seconds()
        self._right[key] = _Right(digest, fingerprint, until, _key(obj), obj["metadata"]["uid"])

    def _holds(self, key: tuple[str, str, str], right: _Right) -> bool:
        """Return whether what is remembered can still be of use."""
        if right.fingerprint is not None:
            return self._cache.entry(*key) is not None
        owner = self._cache.entry(*right.owner)
        lives = owner is not None and owner.obj["metadata"]["uid"] == right.uid
        return lives and self._clock() < right.until


def _key(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    meta = obj["metadata"]
    return obj["kind"], meta["namespace"], meta["name"]


def _contains(live: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            _contains(live.get(key), value) for key, value in wanted.items() if not _left_out(value)
        )
    if isinstance(wanted, Sequence) and not isinstance(wanted, str | bytes):
        # In order and of one length: where a merge list holds somebody else's entries, one apply too many is harmless.
        return (
            isinstance(live, Sequence)
            and len(live) == len(wanted)
            and all(_contains(a, b) for a, b in zip(live, wanted, strict=True))
        )
    return bool(live == wanted)


def _left_out(value: Any) -> bool:
    # The API server leaves empty values out of what it returns ({}, [], null, "", false, 0 where omitempty).
    return value is None or (not isinstance(value, bool | int | float) and not value)
