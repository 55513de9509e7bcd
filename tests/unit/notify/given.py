"""Objects as the API server has them, by the instants and conditions that are told."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.world import belay_object

from belay_api.units import format_instant

NOW = datetime.now(UTC).replace(microsecond=0)


def ago(seconds: float) -> str:
    return format_instant(NOW - timedelta(seconds=seconds))


def ready(reason: str, message: str = "so it is", *, true: bool = False) -> dict[str, Any]:
    return {
        "type": "Ready",
        "status": "True" if true else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(0),
    }


def alarm(kind: str, reason: str) -> dict[str, Any]:
    return {**ready(reason), "type": kind, "status": "True"}


def rollout(name: str = "cartpole", uid: str = "uid-1", **status: Any) -> dict[str, Any]:
    made = belay_object("RLRollout", name, {}, status={"conditions": [ready("Healthy", true=True)], **status})
    made["metadata"]["uid"] = uid
    return made


def version(policy: str, since: str) -> dict[str, str]:
    return {"policy": policy, "digest": f"sha256:{policy * 64}", "since": since}


def ended(policy: str, outcome: str, *, started: str, at: str) -> dict[str, str]:
    return {
        "policy": policy,
        "digest": f"sha256:{policy * 64}",
        "outcome": outcome,
        "startedAt": started,
        "endedAt": at,
        "message": "return: 430 < 480",
    }
