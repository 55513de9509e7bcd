"""Whom a changed object concerns: the keys to look at again."""

from collections.abc import Iterable, Mapping
from typing import Any

from belay_operator.engine.kind import Kind, Reader
from belay_operator.engine.plan import Key
from belay_operator.engine.resources import OURS, PARENT_LABELS


def keys_of(kind: str, obj: Mapping[str, Any], kinds: Iterable[Kind], reader: Reader) -> set[Key]:
    """Return the object itself where it is ours, its controller, what its labels name, and what the kinds add."""
    meta = obj["metadata"]
    namespace, name = meta["namespace"], meta["name"]
    keys = {Key(kind, namespace, name)} if kind in OURS else set()
    for reference in meta.get("ownerReferences") or ():
        if reference.get("controller") and reference["kind"] in OURS:
            keys.add(Key(reference["kind"], namespace, reference["name"]))
    labels = meta.get("labels") or {}
    for label, parent in PARENT_LABELS.items():
        if label in labels:
            keys.add(Key(parent, namespace, labels[label]))
    for one in kinds:
        keys.update(one.related(kind, obj, reader))
    return keys
