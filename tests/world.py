"""A world to decide in: objects in a dict, with the few rules of an API server that decisions lean on.

It is a `Reader`, so `observe` reads it as it reads the cache (pod templates are missing there, as in the real cache),
and it carries plans out as the executor does: status, create, apply, delete, events, in that order, one effect at a
time, so that a test can let the operator die between any two of them. Server-side apply removes what the last apply had
and this one has not, and an apply that would change nothing is none. No controller lives here: a test that needs a
kubelet or a Job controller writes what they would have written with `patch`.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from belay_api import names
from belay_api.units import format_instant
from belay_operator.engine.indexes import INDEXES
from belay_operator.engine.kind import Kind
from belay_operator.engine.plan import Key, Manifest, Note, Plan, Settings
from belay_operator.engine.slim import pod_spec

SETTINGS = Settings(
    trainer_image="belay-trainer:test",
    handler_image="belay-handler:test",
    logbook_url="http://belay-logbook.belay.svc:8600",
    receipt_master=bytes(32),
)
START = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)

ObjectKey = tuple[str, str, str]
Json = dict[str, Any]


class World:
    """Objects by (kind, namespace, name), and what was done to them."""

    def __init__(
        self,
        objects: Iterable[Manifest] = (),
        *,
        facts: Mapping[tuple[str, str, str], Any] | None = None,
        settings: Settings = SETTINGS,
        missing: Iterable[str] = (),
    ) -> None:
        """Args: facts: by (topic, namespace, name). missing: kinds this cluster does not serve."""
        self.objects: dict[ObjectKey, Json] = {}
        self.facts = dict(facts or {})
        self.settings = settings
        self.events: list[tuple[Key, Note]] = []
        self.log: list[str] = []  # every write that changed something, in order
        self._missing = frozenset(missing)
        self._applied: dict[ObjectKey, Json] = {}
        self._count = 0
        for manifest in objects:
            self.put(manifest)

    # --- what users, controllers and the kubelet do -------------------------------------------------------------------
    def put(self, manifest: Manifest, *, now: datetime = START) -> Json:
        """Create an object, or replace it; what the manifest does not say of uid, generation and age is made up."""
        made = copy.deepcopy(dict(manifest))
        meta = made["metadata"] = {"namespace": "default", **made["metadata"]}
        key = (made["kind"], meta["namespace"], meta["name"])
        before = self.objects.get(key)
        self._count += before is None
        meta.setdefault("uid", before["metadata"]["uid"] if before else f"uid-{self._count}")
        meta.setdefault("creationTimestamp", before["metadata"]["creationTimestamp"] if before else format_instant(now))
        if before is None:
            meta.setdefault("generation", 1)
        else:
            changed = before.get("spec") != made.get("spec")
            meta.setdefault("generation", before["metadata"]["generation"] + changed)
        self.objects[key] = made
        return made

    def adopt(self, manifest: Manifest, *, now: datetime = START) -> Json:
        """Put an object that an earlier apply of ours made: what it has and the next apply has not is removed then."""
        made = self.put(manifest, now=now)
        applied = {key: value for key, value in made.items() if key != "status"}
        meta = {key: made["metadata"][key] for key in ("namespace", "name", "labels") if key in made["metadata"]}
        self._applied[made["kind"], meta["namespace"], meta["name"]] = copy.deepcopy({**applied, "metadata": meta})
        return made

    def patch(self, kind: str, name: str, changes: Mapping[str, Any], *, namespace: str = "default") -> None:
        """Merge `changes` into an object, as `kubectl patch --type=merge` does; null removes."""
        self.put(_without_generation(_merge(self.objects[kind, namespace, name], changes)))

    def remove(self, kind: str, name: str, *, namespace: str = "default") -> None:
        """Delete an object and, as the garbage collector does, whatever it owns alone; the rest loses this owner."""
        gone = self.objects.pop((kind, namespace, name))
        self._applied.pop((kind, namespace, name), None)
        uid = gone["metadata"]["uid"]
        for key, held in list(self.objects.items()):
            if key not in self.objects or all(one["uid"] != uid for one in _owners(held)):
                continue
            others = [one for one in _owners(held) if one["uid"] != uid]
            alive = {other["metadata"]["uid"] for other in self.objects.values()}
            if any(one["uid"] in alive for one in others):
                held["metadata"]["ownerReferences"] = others
            else:
                self.remove(key[0], key[2], namespace=key[1])

    # --- the cache, as `observe` reads it -----------------------------------------------------------------------------
    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        held = self.objects.get((kind, namespace, name))
        return None if held is None else _as_cached(held)

    def whole(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        held = self.objects.get((kind, namespace, name))
        return None if held is None else copy.deepcopy(held)

    def owned(self, kind: str, owner_uid: str) -> list[Mapping[str, Any]]:
        return self._those(kind, lambda o: any(r["uid"] == owner_uid for r in _owners(o)))

    def in_namespace(self, kind: str, namespace: str) -> list[Mapping[str, Any]]:
        return self._those(kind, lambda o: o["metadata"]["namespace"] == namespace)

    def labelled(self, kind: str, namespace: str, label: str, value: str) -> list[Mapping[str, Any]]:
        return [o for o in self.in_namespace(kind, namespace) if o["metadata"].get("labels", {}).get(label) == value]

    def indexed(self, index: str, kind: str, namespace: str, value: str) -> list[Mapping[str, Any]]:
        return [o for o in self.in_namespace(kind, namespace) if value in INDEXES[kind][index](o)]

    def serves(self, kind: str) -> bool:
        return kind not in self._missing

    def fact(self, topic: str, namespace: str, name: str) -> Any | None:
        return self.facts.get((topic, namespace, name))

    # --- the reconciler and the executor ------------------------------------------------------------------------------
    def plan(self, kind: Kind, key: Key, now: datetime) -> Plan:
        """Return what the kind wants for one object; an object that is gone wants nothing."""
        held = self.get(kind.name, key.namespace, key.name)
        if held is None:
            return Plan()
        try:
            observed = kind.observe(held, self, self.settings)
        except ValueError as error:
            return kind.invalid(held, str(error), now)
        return kind.decide(observed, now)

    def execute(self, key: Key, plan: Plan, *, now: datetime = START, effects: int | None = None) -> list[str]:
        """Carry a plan out; return the writes that changed something.

        Args: effects: die after this many effects (writes and events); None: carry all out.
        """
        done: list[str] = []
        for index, effect in enumerate(self._effects(key, plan, now)):
            if effects is not None and index >= effects:
                break
            if said := effect():
                done.append(said)
        self.log.extend(done)
        return done

    def reconcile(self, kind: Kind, key: Key, *, now: datetime = START, effects: int | None = None) -> list[str]:
        """One pass of the operator over one object; returns the writes that changed something."""
        return self.execute(key, self.plan(kind, key, now), now=now, effects=effects)

    def settle(self, kind: Kind, key: Key, *, now: datetime = START, passes: int = 20) -> int:
        """Reconcile until a pass changes nothing; returns how many passes did. Fails when there is no end to it."""
        for done in range(passes):
            if not self.reconcile(kind, key, now=now):
                return done
        raise AssertionError(f"{key} still writes after {passes} passes: {self.log[-6:]}")

    def would_write(self, kind: Kind, key: Key, now: datetime) -> list[str]:
        """Return what a pass would change, without changing it."""
        plan = self.plan(kind, key, now)
        if plan.status is None and not (plan.create or plan.apply or plan.delete or plan.events):
            return []  # nearly always, and a copy costs more than the rest
        return copy.deepcopy(self).execute(key, plan, now=now)

    # --- private ------------------------------------------------------------------------------------------------------
    def _those(self, kind: str, fits: Callable[[Json], bool]) -> list[Mapping[str, Any]]:
        return [_as_cached(held) for key, held in self.objects.items() if key[0] == kind and fits(held)]

    def _effects(self, key: Key, plan: Plan, now: datetime) -> Iterable[Callable[[], str | None]]:
        if plan.status is not None:
            yield lambda: self._write_status(key, plan.status or {})
        for manifest in plan.create:
            yield lambda m=manifest: self._create(m, now)  # type: ignore[misc]
        for manifest in plan.apply:
            yield lambda m=manifest: self._apply(m, now)  # type: ignore[misc]
        for ref in plan.delete:
            yield lambda r=ref: self._delete(r.kind, r.namespace, r.name, r.uid)  # type: ignore[misc]
        for note in plan.events:
            yield lambda n=note: self.events.append((key, n))  # type: ignore[misc]

    def _write_status(self, key: Key, status: Mapping[str, Any]) -> str | None:
        held = self.objects[key.kind, key.namespace, key.name]
        if held.get("status") == status:
            return None
        held["status"] = copy.deepcopy(dict(status))
        return f"status {key.kind} {key.name}"

    def _create(self, manifest: Manifest, now: datetime) -> str | None:
        meta = manifest["metadata"]
        if (manifest["kind"], meta["namespace"], meta["name"]) in self.objects:
            return None
        self.put(manifest, now=now)
        return f"create {manifest['kind']} {meta['name']}"

    def _apply(self, manifest: Manifest, now: datetime) -> str | None:
        wanted = copy.deepcopy(dict(manifest))
        meta = wanted["metadata"]
        key = (wanted["kind"], meta["namespace"], meta["name"])
        held = self.objects.get(key)
        if held is None:
            self.put(wanted, now=now)
        else:
            changed = _merge(_minus(held, self._applied.get(key, {}), keep=wanted), wanted)
            if changed == held:
                return None
            if key[0] == "Job" and _template(held) not in (None, _template(changed)):
                raise AssertionError(f"Job {key[2]}: spec.template is immutable; a real API server answers 422")
            self.put(_without_generation(changed), now=now)
        self._applied[key] = wanted
        return f"apply {key[0]} {key[2]}"

    def _delete(self, kind: str, namespace: str, name: str, uid: str) -> str | None:
        held = self.objects.get((kind, namespace, name))
        if held is None or held["metadata"]["uid"] != uid:
            return None
        self.remove(kind, name, namespace=namespace)
        return f"delete {kind} {name}"


def key_of(manifest: Manifest) -> Key:
    """Return the queue key of one of our objects."""
    return Key(manifest["kind"], manifest["metadata"].get("namespace", "default"), manifest["metadata"]["name"])


def belay_object(kind: str, name: str, spec: Mapping[str, Any], **rest: Any) -> Json:
    """Return an object of one of our kinds."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": dict(spec),
        **rest,
    }


def _owners(held: Json) -> list[Json]:
    owners: list[Json] = held["metadata"].get("ownerReferences", [])
    return owners


def _template(held: Json) -> Any:
    return held.get("spec", {}).get("template")


def _as_cached(held: Json) -> Json:
    seen = copy.deepcopy(held)
    if seen["kind"] in ("Job", "Deployment"):
        seen.get("spec", {}).pop("template", None)
    if seen["kind"] == "Pod" and "spec" in seen:
        seen["spec"] = pod_spec(seen["spec"])
    return seen


def _without_generation(held: Json) -> Json:
    return {**held, "metadata": {k: v for k, v in held["metadata"].items() if k != "generation"}}


def _merge(held: Any, changes: Any) -> Any:
    """RFC 7386, which is what a merge patch does and, for maps and atomic lists, what server-side apply does."""
    if not isinstance(held, Mapping) or not isinstance(changes, Mapping):
        return copy.deepcopy(changes)
    merged = dict(held)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _minus(held: Any, before: Any, *, keep: Any) -> Any:
    """Return `held` without what `before` applied and `keep` does not."""
    if not isinstance(held, Mapping) or not isinstance(before, Mapping):
        return held
    keep = keep if isinstance(keep, Mapping) else {}
    return {
        key: _minus(value, before.get(key), keep=keep.get(key))
        for key, value in held.items()
        if key not in before or key in keep
    }
