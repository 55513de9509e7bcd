"""Where a metric comes from: one file each, and a field here."""

from belay_api.model import Model, chosen, exactly_one
from belay_api.rollout.sources.logbook import LogbookSource
from belay_api.rollout.sources.serving import ServingMeasure
from belay_api.rollout.sources.unit import Unit


@exactly_one("a metric's source", "list a metric of its own for each")
class MetricSource(Model):
    """Where a metric comes from; exactly one field is set. The type of one that measures a number has a `unit`."""

    logbook: LogbookSource | None = None
    """Outcomes of episodes; compared with stable."""
    serving: ServingMeasure | None = None
    """`latencyP99` (a duration) or `errorRate` (a share of requests), of the candidate's pods; held to a limit."""

    @property
    def kind(self) -> str:
        """The one field that is set."""
        return chosen(self)

    @property
    def unit(self) -> Unit | None:
        """What its measurement is in, for a limit; None: it tells of episodes instead, to compare."""
        source = next(value for _, value in self if value is not None)
        unit: Unit | None = getattr(source, "unit", None)
        return unit
