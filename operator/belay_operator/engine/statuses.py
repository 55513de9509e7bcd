"""What the statuses of all objects say, as metrics: read from the cache when somebody asks.

These have the names of objects as labels, which no other metric of the operator has: their number is that of the
objects, and a series ends with its object.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from belay_operator.engine.cache import Cache
from belay_operator.engine.gauge import Gauge
from belay_operator.engine.kind import Kind


class Statuses(Collector):
    """Metrics of every kind that has some, while this process leads."""

    def __init__(self, cache: Cache, kinds: Iterable[Kind], registry: CollectorRegistry) -> None:
        self._cache, self._registry = cache, registry
        self._kinds = tuple(kinds)

    def __enter__(self) -> "Statuses":
        self._registry.register(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._registry.unregister(self)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is follows from the objects."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics as the statuses are now."""
        for kind in self._kinds:
            found = (self._cache.get(kind.name, *name) for name in sorted(self._cache.names(kind.name)))
            objects = [body for body in found if body is not None] if kind.gauges else []
            for gauge in kind.gauges:
                yield _metric(gauge, objects)


def _metric(gauge: Gauge, objects: Sequence[Mapping[str, Any]]) -> Metric:
    made = GaugeMetricFamily(gauge.name, gauge.text, labels=["namespace", "name", *gauge.labels])
    for body in objects:
        meta = body["metadata"]
        for labels, value in gauge.samples(body.get("status") or {}):
            made.add_metric([meta["namespace"], meta["name"], *labels], value)
    return made
