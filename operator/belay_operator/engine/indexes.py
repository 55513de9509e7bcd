"""By what objects are found without a scan: functions from an object to the values under which it is indexed.

They read objects as the API server has them, of any version: a field may be missing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from belay_api.gates import RANDOM
from belay_api.rollout.status import VERSION_ROLES

POLICY, FAMILY, PROGRESSION, ROLLOUT_GROUP, PARTNER = "policy", "family", "progression", "group", "partner"

_NAMING_ROLES = (*VERSION_ROLES, "anchor", "rollback")


def policies_of_rollout(rollout: Mapping[str, Any]) -> set[str]:
    """Return the policies a rollout names, wanted or in any role of its status."""
    status, wanted = rollout.get("status") or {}, (rollout.get("spec") or {}).get("policy") or {}
    named = {wanted.get("name"), *((status.get(role) or {}).get("policy") for role in _NAMING_ROLES)}
    competing = (*((wanted.get("winnerOf") or {}).get("arms") or ()), *(status.get("arms") or ()))
    named |= {arm.get("policy") for arm in competing}
    return {name for name in named if name}


def _policies_of_policy(policy: Mapping[str, Any]) -> set[str]:
    validation = (policy.get("spec") or {}).get("validation") or {}
    pinned = ((policy.get("status") or {}).get("baseline") or {}).get("policy")
    return {name for name in _compared_with(validation) if name != pinned}


def _policies_of_training(job: Mapping[str, Any]) -> set[str]:
    spec, status = job.get("spec") or {}, job.get("status") or {}
    # Once it is pinned, the name does not count any more.
    begins = {(spec.get("initFrom") or {}).get("policy")} if "initial" not in status else set()
    compares = _compared_with(spec) if "baseline" not in status else set()
    return {name for name in begins | compares if name}


def _family(rollout: Mapping[str, Any]) -> set[str]:
    return _said(((rollout.get("spec") or {}).get("policy") or {}).get("latestOf"))


def _progression(rollout: Mapping[str, Any]) -> set[str]:
    return _said(((rollout.get("spec") or {}).get("progression") or {}).get("name"))


def _group(rollout: Mapping[str, Any]) -> set[str]:
    return _said(((rollout.get("status") or {}).get("group") or {}).get("name"))


def _partners(rollout: Mapping[str, Any]) -> set[str]:
    return {name for step in steps_of(rollout) for name in together_with(step)}


def steps_of(rollout: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the steps a rollout goes by: those that it has recorded, else those of its spec."""
    status, spec = rollout.get("status") or {}, rollout.get("spec") or {}
    return (status.get("progression") or {}).get("steps") or spec.get("steps") or []


def together_with(step: Mapping[str, Any]) -> list[str]:
    """Return whom a step `together` waits for; of any other step, nobody."""
    return (step.get("together") or {}).get("with") or []


def _said(value: str | None) -> set[str]:
    return {value} if value else set()


def _compared_with(spec: Mapping[str, Any]) -> set[str]:
    """Return the RLPolicies that the gates of a spec name. A body of another version may hold anything."""
    gates = spec.get("gates") or ()
    named = ((gate.get("performance") or {}).get("betterThan") for gate in gates)
    return {name for name in named if name and name != RANDOM}


INDEXES: Mapping[str, Mapping[str, Callable[[Mapping[str, Any]], set[str]]]] = {
    "RLTrainingJob": {POLICY: _policies_of_training},
    "RLPolicy": {POLICY: _policies_of_policy},
    "RLRollout": {
        POLICY: policies_of_rollout,
        FAMILY: _family,  # whose newest policy it wants to serve
        PROGRESSION: _progression,  # whose steps it takes
        ROLLOUT_GROUP: _group,  # in which it has a place or asks for one
        PARTNER: _partners,  # whom its steps `together` name
    },
}
"""By kind, and by the index's name."""
