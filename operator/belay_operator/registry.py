"""Which kinds and pollers this operator has: the only place that names them all."""

import importlib

from belay_operator.engine.kind import Kind
from belay_operator.engine.source import Source

KIND_MODULES = (
    "belay_operator.training.observe",
    "belay_operator.policy.observe",
    "belay_operator.rollout.observe",
)
SOURCE_MODULES = (
    "belay_operator.training.progress",
    "belay_operator.training.creation",
    "belay_operator.rollout.sources.logbook",
    "belay_operator.rollout.sources.serving",
)


def kinds() -> dict[str, Kind]:
    """Return every kind by its name."""
    found = [importlib.import_module(module).KIND for module in KIND_MODULES]
    return {kind.name: kind for kind in found}


def sources() -> list[Source]:
    """Return one fresh poller of each sort."""
    return [importlib.import_module(module).SOURCE for module in SOURCE_MODULES]
