"""Where a metric comes from: one file each, and a field here."""

from belay_api.model import Model, chosen, exactly_one
from belay_api.rollout.sources.gateway import GatewaySource
from belay_api.rollout.sources.logbook import LogbookSource
from belay_api.rollout.sources.prometheus import PrometheusSource
from belay_api.rollout.sources.serving import ServingMeasure
from belay_api.rollout.sources.unit import Unit


@exactly_one("a metric's source", "list a metric of its own for each")
class MetricSource(Model):
    """Where a metric comes from; exactly one field is set. The type of one that measures a number, to hold to a limit,
    has a `unit`; of one that can be compared, `compared` is true."""

    logbook: LogbookSource | None = None
    """Outcomes of episodes; compared with stable."""
    serving: ServingMeasure | None = None
    """`latencyP99` (a duration) or `errorRate` (a share of requests), of the candidate's pods; held to a limit."""
    gateway: GatewaySource | None = None
    """`errorRate`: the share of requests that callers got no good answer to from the candidate's pods (5xx, a reset, a
    time-out, or nothing until they gave up), by the counts of Envoy Gateway's proxies; held to a limit. Its EnvoyProxy
    must say `telemetry: {metrics: {enablePerEndpointStats: true}}`."""
    prometheus: PrometheusSource | None = None
    """A number that a Prometheus server works out; held to a limit, or compared with stable's of the same time."""

    @property
    def kind(self) -> str:
        """The one field that is set."""
        return chosen(self)

    @property
    def unit(self) -> Unit | None:
        """What its measurement is in, for a limit; None: it has none, or it is whatever the limit is written in."""
        unit: Unit | None = getattr(self._source, "unit", None)
        return unit

    @property
    def measured(self) -> bool:
        """Whether it can be held to a limit."""
        return hasattr(self._source, "unit")

    @property
    def compared(self) -> bool:
        """Whether it can be compared with stable."""
        return bool(getattr(self._source, "compared", False))

    @property
    def _source(self) -> object:
        return next(value for _, value in self if value is not None)
