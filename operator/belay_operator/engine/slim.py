"""What of an object is kept in memory, and the fingerprint that tells whether anybody changed the rest.

A Deployment is mostly its pod template, a Pod mostly its spec, and both carry managedFields; no decision needs them.
What an apply must compare (the template) is kept packed, a tenth of its size as Python dicts.
"""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_PACKED = frozenset({"Job", "Deployment"})  # spec.template leaves the dict and stays packed
_NOISE = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")
_UNREADABLE = "belay.dev/unreadable"  # stands in spec for what was not kept; no field of any spec is called so
_CONTENT = ("spec", "data", "stringData", "type", "immutable")


@dataclass(frozen=True, slots=True)
class Entry:
    """One cached object."""

    obj: Mapping[str, Any]  # slim; never changed in place
    version: int  # resourceVersion; Kubernetes promises that they can be compared (KEP-5504)
    fingerprint: bytes  # of everything an apply could write; equal: nobody touched it
    template: bytes | None  # the packed pod template; None: nothing was taken out


def entry_of(kind: str, raw: Mapping[str, Any]) -> Entry:
    """Return what the cache keeps of a raw object, which stays as it is."""
    try:
        return _entry(kind, raw)
    except orjson.JSONEncodeError:
        # Nested deeper than orjson goes (254 levels), which the API server allows a free-form field of a spec. Whoever
        # may create one object must not end the operator with it: it is kept without its spec, and called invalid.
        return _entry(kind, {**raw, "spec": {_UNREADABLE: True}})


def unreadable(obj: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an object whose spec was not kept; None: it was."""
    if _UNREADABLE not in (obj.get("spec") or {}):
        return None
    return "spec: a field is nested more than 250 levels deep. Nothing is changed until the spec is corrected."


def _entry(kind: str, raw: Mapping[str, Any]) -> Entry:
    obj = {key: value for key, value in raw.items() if key != "metadata"}
    meta = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    if "annotations" in meta:
        meta["annotations"] = {key: value for key, value in meta["annotations"].items() if key not in _NOISE}
    fingerprint, template = b"", None
    if kind == "Pod":
        spec = obj.pop("spec", {})
        obj["spec"] = {"nodeName": spec["nodeName"]} if "nodeName" in spec else {}
    else:
        fingerprint = _fingerprint(obj, meta)
    if kind in _PACKED and "template" in obj.get("spec", {}):
        spec = dict(obj["spec"])
        template = zlib.compress(orjson.dumps(spec.pop("template")), 1)
        obj["spec"] = spec
    obj["metadata"] = meta
    # Once through orjson: it shares the keys of all objects, which the JSON parser behind the watch does not.
    return Entry(orjson.loads(orjson.dumps(obj)), int(meta["resourceVersion"]), fingerprint, template)


def whole(entry: Entry) -> Mapping[str, Any]:
    """Return the object with its template put back, for comparing with what is wanted."""
    if entry.template is None:
        return entry.obj
    spec = {**entry.obj["spec"], "template": orjson.loads(zlib.decompress(entry.template))}
    return {**entry.obj, "spec": spec}


def _fingerprint(obj: Mapping[str, Any], meta: Mapping[str, Any]) -> bytes:
    told = [obj.get(key) for key in _CONTENT] + [meta.get(key) for key in ("labels", "annotations", "ownerReferences")]
    return hashlib.blake2b(orjson.dumps(told), digest_size=8).digest()
