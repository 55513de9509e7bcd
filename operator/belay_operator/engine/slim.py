"""What of an object is kept in memory, and the fingerprint that tells whether anybody changed the rest.

A Deployment is mostly its pod template, a Pod mostly its spec, and both carry managedFields; no decision needs them.
What is kept is kept packed, a tenth of its size as Python dicts; the objects that were read last are unpacked as well.
An installation at rest reads none, and one at work the same ones again and again. Ten thousand objects of each kind
take 277 MiB that way and took 883 unpacked.
"""

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson

UNPACKED = 8_192  # objects, of about 10 KiB each: a thousand rollouts at work with all that is theirs

_PACKED = frozenset({"Job", "Deployment"})  # spec.template leaves the dict and stays packed
_NOISE = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")
_UNREADABLE = "belay.dev/unreadable"  # stands in spec for what was not kept; no field of any spec is called so
_POD_NOISE = frozenset({"hostIP", "hostIPs", "podIPs", "qosClass"})  # of its status
_CONTAINER_NOISE = frozenset({"containerID", "volumeMounts", "resources", "allocatedResources", "user"})
_CONTENT = ("spec", "data", "stringData", "type", "immutable", "addressType", "endpoints", "ports")


class Entry:
    """One version of a cached object. Never changed; it only forgets its unpacked form, and finds it again."""

    __slots__ = ("_obj", "_packed", "fingerprint", "template", "uid", "version")

    def __init__(
        self, obj: Mapping[str, Any], *, uid: str, version: int, fingerprint: bytes, template: bytes | None
    ) -> None:
        self._obj: Mapping[str, Any] | None = obj
        self._packed: bytes | None = None
        self.uid = uid
        self.version = version
        """resourceVersion; Kubernetes promises that they can be compared (KEP-5504)."""
        self.fingerprint = fingerprint
        """Of everything an apply could write; equal: nobody touched it."""
        self.template = template
        """The packed pod template; None: nothing was taken out."""

    @property
    def obj(self) -> Mapping[str, Any]:
        """The slim object, never to be changed: the same one to all who read it, as long as it is read."""
        obj = self._obj
        if obj is None:
            obj = self._obj = _unpack(self._packed or b"")
        _RECENT.touch(self)
        return obj

    def pack(self) -> None:
        """Forget the unpacked form."""
        if self._packed is None:
            self._packed = _pack(self._obj)
        self._obj = None

    def drop(self) -> None:
        """Count as read no more: another version took its place."""
        _RECENT.drop(self)


class _Recent:
    """The entries read last, unpacked; what falls out is packed."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Entry, None] = OrderedDict()

    def touch(self, entry: Entry) -> None:
        """Note that `entry` is read."""
        self._entries[entry] = None
        self._entries.move_to_end(entry)
        if len(self._entries) > UNPACKED:
            self._entries.popitem(last=False)[0].pack()

    def drop(self, entry: Entry) -> None:
        """Forget `entry`."""
        self._entries.pop(entry, None)


_RECENT = _Recent()


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
        obj["spec"] = pod_spec(obj.get("spec") or {})
        if "status" in obj:
            obj["status"] = _pod_status(obj["status"])
    else:
        fingerprint = _fingerprint(obj, meta)
    if kind in _PACKED and "template" in obj.get("spec", {}):
        spec = dict(obj["spec"])
        template = _pack(spec.pop("template"))
        obj["spec"] = spec
    obj["metadata"] = meta
    # Once through orjson: it shares the keys of all objects, which the JSON parser behind the watch does not.
    return Entry(
        orjson.loads(orjson.dumps(obj)),
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        fingerprint=fingerprint,
        template=template,
    )


def pod_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a Pod's spec: its node, and what its containers request."""
    kept = {"nodeName": spec["nodeName"]} if "nodeName" in spec else {}
    asked = [(one.get("resources") or {}).get("requests") for one in spec.get("containers") or ()]
    requests = [{"resources": {"requests": one}} for one in asked if one]
    return {**kept, "containers": requests} if requests else kept


def whole(entry: Entry) -> Mapping[str, Any]:
    """Return the object with its template put back, for comparing with what is wanted."""
    if entry.template is None:
        return entry.obj
    spec = {**entry.obj["spec"], "template": _unpack(entry.template)}
    return {**entry.obj, "spec": spec}


def _pod_status(status: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = {key: value for key, value in status.items() if key not in _POD_NOISE}
    for field in ("initContainerStatuses", "containerStatuses"):
        if field in kept:
            kept[field] = [{k: v for k, v in one.items() if k not in _CONTAINER_NOISE} for one in kept[field]]
    return kept


def _pack(value: Any) -> bytes:
    return zlib.compress(orjson.dumps(value), 1)


def _unpack(packed: bytes) -> Any:
    return orjson.loads(zlib.decompress(packed))


def _fingerprint(obj: Mapping[str, Any], meta: Mapping[str, Any]) -> bytes:
    told = [obj.get(key) for key in _CONTENT] + [meta.get(key) for key in ("labels", "annotations", "ownerReferences")]
    return hashlib.blake2b(orjson.dumps(told), digest_size=8).digest()
