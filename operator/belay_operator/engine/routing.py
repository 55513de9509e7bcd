"""Whom a changed object concerns: the keys to look at again."""

from collections.abc import Iterable

from belay_operator.engine.change import Change
from belay_operator.engine.kind import Kind, Reader
from belay_operator.engine.plan import Key
from belay_operator.engine.resources import OURS, PARENT_LABELS


def keys_of(change: Change, kinds: Iterable[Kind], reader: Reader) -> set[Key]:
    """Return the object itself where it is ours, its controllers and what its labels name, before and after the change,
    and what the kinds add.
    """
    namespace, name = change.name
    keys = {Key(change.kind, namespace, name)} if change.kind in OURS else set()
    for side in change.sides:
        meta = side["metadata"]
        for reference in meta.get("ownerReferences") or ():
            if reference.get("controller") and reference["kind"] in OURS:
                keys.add(Key(reference["kind"], namespace, reference["name"]))
        labels = meta.get("labels") or {}
        for label, parent in PARENT_LABELS.items():
            if label in labels:
                keys.add(Key(parent, namespace, labels[label]))
    for one in kinds:
        keys.update(one.related(change, reader))
    return keys
