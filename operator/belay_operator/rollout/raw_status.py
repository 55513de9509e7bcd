"""What is read of a rollout's status as the API server has it, where it is not worth a model of all of it."""

from collections.abc import Mapping
from typing import Any


def is_rolling_back(status: Mapping[str, Any]) -> bool:
    """Return whether a recorded rollback is not proven yet."""
    return "drainedAt" not in (status.get("rollback") or {"drainedAt": "there is none"})
