"""Which kinds and pollers this operator has: the only place that names them all."""

import importlib

from belay_operator import store_watch
from belay_operator.engine.kind import Kind
from belay_operator.engine.source import Source
from belay_operator.job_events import creation, starting
from belay_operator.rollout.sources import all_sources, promoted, shadows
from belay_operator.training import leftovers, progress

KIND_MODULES = (
    "belay_operator.training.observe",
    "belay_operator.policy.observe",
    "belay_operator.rollout.observe",
)


def kinds() -> dict[str, Kind]:
    """Return every kind by its name."""
    found = [importlib.import_module(module).KIND for module in KIND_MODULES]
    return {kind.name: kind for kind in found}


def sources() -> list[Source]:
    """Return one poller of each sort."""
    ours: list[Source] = [progress.SOURCE, leftovers.SOURCE, creation.SOURCE, starting.SOURCE, store_watch.SOURCE]
    return [*ours, *all_sources().values(), promoted.POLLER, shadows.POLLER]
