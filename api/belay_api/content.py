"""A short name for content: what has the same hash is the same, whoever computed it."""

import hashlib
import json
from typing import Any

from belay_api.cleanup import CleanupSpec
from belay_api.cost import CostSpec
from belay_api.edits import EDITABLE, editable
from belay_api.training import RLTrainingJobSpec

_HEX = 16  # of a hash in names and labels: enough that nobody meets a collision


def content_hash(value: Any) -> str:
    """Return a short hash of anything JSON can say; equal content, equal hash, in any order of keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_HEX]


def frozen(spec: RLTrainingJobSpec) -> RLTrainingJobSpec:
    """Return the spec without what may change at any time and says nothing about what is trained."""
    seeds = spec.seeds.model_copy(update={"parallelism": None})
    free = {"suspend": False, "seeds": seeds, "cost": CostSpec(), "cleanup": CleanupSpec()}
    return spec.model_copy(update=free)


def spec_hash(spec: RLTrainingJobSpec) -> str:
    """Return the hash of what is frozen from the start. Lineages carry it as `configHash`."""
    return content_hash(_without_edits(frozen(spec).dump()))


def settled(spec: RLTrainingJobSpec) -> dict[str, Any]:
    """Return what was said of a training, without what changes nothing in what comes out.

    Artifacts hold it: a policy that was rejected has the same digest when it is trained again with more memory.
    """
    said = _without_edits(frozen(spec).said())
    return {name: value for name, value in said.items() if value != {}}


def _without_edits(said: dict[str, Any]) -> dict[str, Any]:
    edited = {
        part: {k: v for k, v in said[part].items() if k not in EDITABLE[part]} for part in EDITABLE if part in said
    }
    return said | edited


def edit_hash(spec: RLTrainingJobSpec) -> str:
    """Return the hash of what may be edited while the job is suspended."""
    return content_hash(editable(spec))
