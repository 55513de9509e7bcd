"""What the route carries ahead of the recorded status, so that a raise of the weight is one write and not two.

A higher weight would be recorded, then put on the route, then recorded as accepted. The first of the three travels with
the second: an annotation of the route holds the step, the weight and the places of the rules. Until the Gateway has
answered, the status is what is recorded together with what is carried (`read`). The write that tells of the answer
records it all; so does any other, above all the one that records a rollback.

Only a raise travels so. What is carried continues exactly one recorded status: whatever is recorded over that ends it,
and whoever then finds it on the route decides again from what is recorded. Nobody who may only change routes can skip
a step by it, for it is signed with a key of the operator's own.
"""

import hmac
import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from belay_api.content import content_hash
from belay_api.names import GROUP
from belay_api.reasons import RolloutReason
from belay_api.rollout.status import RLRolloutStatus
from belay_operator.children import Owner
from belay_operator.engine.plan import Manifest, Settings
from belay_operator.rollout.move import changed
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.traffic.router import TrafficObject
from belay_operator.rollout.wait import Wait

ANNOTATION = f"{GROUP}/carried-status"
CARRIED = ("step", "weight", "pinned")
TOLD = ("Ready", "Reconciling", "Stalled")  # conditions that follow from the rest, as the phase does, and wait with it


def read(
    recorded: RLRolloutStatus, traffic: Iterable[TrafficObject], owner: Owner, settings: Settings
) -> RLRolloutStatus:
    """Return the recorded status with what the route carries ahead of it."""
    key = _key(owner, settings)
    if key is None:
        return recorded
    texts = [one.annotations[ANNOTATION] for one in traffic if one.owned and ANNOTATION in one.annotations]
    return next((status for text in texts if (status := _opened(text, recorded, key)) is not None), recorded)


def by_route(observed: Observed, wait: Wait | None, apply: tuple[Manifest, ...]) -> tuple[Manifest, ...] | None:
    """Return what to apply where the route carries what is new in status; None: the status must be written.

    Args:
        apply: What must be applied for traffic to go where status asks.
    """
    key = _key(observed.owner, observed.settings)
    if key is None or not _raises(observed) or not _answer_is_due(wait):
        return None
    text = _sealed(observed.recorded, observed.status, key)
    if apply:
        versions = {(one.ref.kind, one.ref.name): one.version for one in observed.traffic.objects}
        return tuple(_carrying(manifest, text, versions) for manifest in apply)
    return () if any(one.annotations.get(ANNOTATION) == text for one in observed.traffic.objects) else None


def _raises(observed: Observed) -> bool:
    """Whether nothing is new in status but a step that gives the candidate more."""
    recorded, status = observed.recorded, observed.status
    before = recorded.weight.desired if recorded.weight else 0
    if status.weight is None or status.weight.desired <= before:
        return False
    rest = {name: getattr(recorded, name) for name in CARRIED}
    return as_told_before(changed(status, **rest), recorded).dump() == recorded.dump()


def as_told_before(status: RLRolloutStatus, recorded: RLRolloutStatus) -> RLRolloutStatus:
    """Return the status with what follows from the rest as it is recorded."""
    own = [one for one in status.conditions if one.type not in TOLD]
    told = [one for one in recorded.conditions if one.type in TOLD]
    conditions = sorted([*own, *told], key=lambda one: one.type)
    return changed(status, phase=recorded.phase, conditions=conditions)


def _answer_is_due(wait: Wait | None) -> bool:
    """Whether the rollout waits for an answer that comes soon; what takes longer is told in status."""
    return wait is not None and wait.reason is RolloutReason.PROGRESSING and wait.requeue_after is not None


def _carrying(manifest: Manifest, text: str, versions: dict[tuple[str, str], str | None]) -> Manifest:
    """The manifest with the annotation, for that version of the object which was looked at.

    No recorded status stands before this write, so it is the object's version that keeps a stale reader from it.
    """
    meta = manifest["metadata"]
    version = versions.get((manifest["kind"], meta["name"]))
    guard = {"resourceVersion": version} if version is not None else {}
    annotations = {**meta.get("annotations", {}), ANNOTATION: text}
    return {**manifest, "metadata": {**meta, **guard, "annotations": annotations}}


def _key(owner: Owner, settings: Settings) -> bytes | None:
    master = settings.receipt_master
    return None if master is None else hmac.digest(master, f"belay/route/{owner.uid}".encode(), "sha256")


def _sealed(recorded: RLRolloutStatus, status: RLRolloutStatus, key: bytes) -> str:
    said = status.dump()
    body = json.dumps(
        {"continues": _of(recorded), **{name: said[name] for name in CARRIED if name in said}},
        sort_keys=True,
        separators=(",", ":"),
    )
    return f"{_signature(body, key)} {body}"


def _opened(text: str, recorded: RLRolloutStatus, key: bytes) -> RLRolloutStatus | None:
    """The status that the text says; None: it is not ours, or continues another status."""
    signature, _, body = text.partition(" ")
    if not hmac.compare_digest(signature.encode(), _signature(body, key).encode()):
        return None
    said: dict[str, Any] = json.loads(body)
    if said.pop("continues") != _of(recorded):
        return None
    try:
        return RLRolloutStatus.model_validate(recorded.dump() | said)
    except ValidationError:  # of an operator of another version
        return None


def _of(recorded: RLRolloutStatus) -> str:
    """What tells one recorded status from another."""
    return content_hash(recorded.dump())


def _signature(body: str, key: bytes) -> str:
    return hmac.new(key, body.encode(), "sha256").hexdigest()
