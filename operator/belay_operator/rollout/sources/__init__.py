"""Who measures: one file per metric source, behind the protocol in `source.py`, found by its `SOURCE`."""

import importlib
import pkgutil

from belay_operator.rollout.sources.source import MetricSource


def all_sources() -> dict[str, MetricSource]:
    """Return every source by its name, which is its field in `spec.analysis.metrics[].source`."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    found: list[MetricSource] = [module.SOURCE for module in modules if hasattr(module, "SOURCE")]
    return {source.name: source for source in found}
