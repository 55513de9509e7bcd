"""Tell whether an apply would change anything, so that a world that is as wanted costs no call.

Three questions, cheapest first. Did we apply exactly this manifest (annotation)? Has anybody touched the object since
we last saw it right (fingerprint)? If somebody has, is everything we want still in it (subset)? The API server rewrites
some values in its own way ("1000m" becomes "1"); then the third question says no for ever, but one apply that leaves
the fingerprint as it was answers the second.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from belay_api import names
from belay_operator.engine.slim import Entry, whole

APPLIED_ANNOTATION = f"{names.GROUP}/applied"
"""Digest of the manifest as last applied. A field that we no longer want is found by it alone."""


def stamped(manifest: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the manifest with its digest as an annotation, and the digest."""
    digest = hashlib.blake2b(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
    meta = manifest["metadata"]
    annotations = {**meta.get("annotations", {}), APPLIED_ANNOTATION: digest}
    return {**manifest, "metadata": {**meta, "annotations": annotations}}, digest


class Drift:
    """Remembers, for each object we keep, how it looked when it was right."""

    def __init__(self) -> None:
        self._right: dict[tuple[str, str, str], tuple[str, bytes]] = {}

    def in_sync(self, manifest: Mapping[str, Any], digest: str, entry: Entry | None) -> bool:
        """Return whether the cached object is what an apply of the stamped `manifest` would make it."""
        if entry is None or "deletionTimestamp" in entry.obj["metadata"]:
            return False
        if entry.obj["metadata"].get("annotations", {}).get(APPLIED_ANNOTATION) != digest:
            return False
        key = _key(manifest)
        if self._right.get(key) == (digest, entry.fingerprint):
            return True
        if not _contains(whole(entry), manifest):
            return False
        self._right[key] = (digest, entry.fingerprint)
        return True

    def remember(self, manifest: Mapping[str, Any], digest: str, entry: Entry) -> None:
        """Take the object an apply answered with as right."""
        self._right[_key(manifest)] = (digest, entry.fingerprint)

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """Drop what is known of an object that is gone."""
        self._right.pop((kind, namespace, name), None)


def _key(manifest: Mapping[str, Any]) -> tuple[str, str, str]:
    meta = manifest["metadata"]
    return manifest["kind"], meta["namespace"], meta["name"]


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
