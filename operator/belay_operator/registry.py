"""Which kinds and pollers this operator has: the only place that names them all."""

import importlib
from collections.abc import Sequence

from belay_operator import store_watch
from belay_operator.engine.kind import Kind
from belay_operator.engine.source import Source
from belay_operator.job_events import creation, starting
from belay_operator.notify.notifier import Notifier
from belay_operator.notify.receivers import Receiver
from belay_operator.rollout.sources import all_sources, promoted, shadows
from belay_operator.rollout.sources.at_rest import AtRest
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


def sources(receivers: Sequence[Receiver] = (), namespace: str = "") -> list[Source]:
    """Return one poller of each sort.

    Args:
        receivers: Who is notified; empty: nobody, and nothing is kept for it.
        namespace: The operator's own.
    """
    ours: list[Source] = [progress.SOURCE, leftovers.SOURCE, creation.SOURCE, starting.SOURCE, store_watch.SOURCE]
    told: list[Source] = [Notifier(receivers, namespace)] if receivers else []
    measured = all_sources()
    return [*ours, *told, *measured.values(), promoted.POLLER, AtRest(measured), shadows.POLLER]
