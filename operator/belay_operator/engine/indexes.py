"""By what objects are found without a scan: functions from an object to the values under which it is indexed.

They read objects as the API server has them, of any version: a field may be missing.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from belay_api.gates import RANDOM
from belay_api.rollout.status import VERSION_ROLES

POLICY, FAMILY, PROGRESSION, ROLLOUT_GROUP, PARTNER = "policy", "family", "progression", "group", "partner"

_NAMING_ROLES = (*VERSION_ROLES, "anchor", "rollback")


def policies_named(kind: str, obj: Mapping[str, Any]) -> set[str]:
    """Return the policies an object names, wanted or in any role of its status."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if kind == "RLTrainingJob":  # once it is pinned, the name does not count any more
        begins = {(spec.get("initFrom") or {}).get("policy")} if "initial" not in status else set()
        compares = _compared_with(spec) if "baseline" not in status else set()
        return {name for name in begins | compares if name}
    if kind == "RLPolicy":
        validation = spec.get("validation") or {}
        pinned = (status.get("baseline") or {}).get("policy")
        return {name for name in _compared_with(validation) if name != pinned}
    if kind != "RLRollout":
        return set()
    wanted = spec.get("policy") or {}
    named = {wanted.get("name"), *((status.get(role) or {}).get("policy") for role in _NAMING_ROLES)}
    competing = (*((wanted.get("winnerOf") or {}).get("arms") or ()), *(status.get("arms") or ()))
    named |= {arm.get("policy") for arm in competing}
    return {name for name in named if name}


def families_followed(kind: str, obj: Mapping[str, Any]) -> set[str]:
    """Return the families whose newest policy a rollout wants to serve."""
    return _said(kind, ((obj.get("spec") or {}).get("policy") or {}).get("latestOf"))


def progressions_named(kind: str, obj: Mapping[str, Any]) -> set[str]:
    """Return the RLProgressions whose steps a rollout takes."""
    return _said(kind, ((obj.get("spec") or {}).get("progression") or {}).get("name"))


def groups_entered(kind: str, obj: Mapping[str, Any]) -> set[str]:
    """Return the groups in which a rollout has a place or asks for one."""
    return _said(kind, ((obj.get("status") or {}).get("group") or {}).get("name"))


def partners(kind: str, obj: Mapping[str, Any]) -> set[str]:
    """Return the rollouts that the steps `together` of a rollout name."""
    if kind != "RLRollout":
        return set()
    return {name for step in steps_of(obj) for name in together_with(step)}


def steps_of(rollout: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the steps a rollout goes by: those that it has recorded, else those of its spec."""
    status, spec = rollout.get("status") or {}, rollout.get("spec") or {}
    return (status.get("progression") or {}).get("steps") or spec.get("steps") or []


def together_with(step: Mapping[str, Any]) -> list[str]:
    """Return whom a step `together` waits for; of any other step, nobody."""
    return (step.get("together") or {}).get("with") or []


def _said(kind: str, value: str | None) -> set[str]:
    return {value} if kind == "RLRollout" and value else set()


def _compared_with(spec: Mapping[str, Any]) -> set[str]:
    """Return the RLPolicies that the gates of a spec name. A body of another version may hold anything."""
    gates = spec.get("gates") or ()
    named = ((gate.get("performance") or {}).get("betterThan") for gate in gates)
    return {name for name in named if name and name != RANDOM}


INDEXES: Mapping[str, Callable[[str, Mapping[str, Any]], Collection[str]]] = {
    POLICY: policies_named,
    FAMILY: families_followed,
    PROGRESSION: progressions_named,
    ROLLOUT_GROUP: groups_entered,
    PARTNER: partners,
}
