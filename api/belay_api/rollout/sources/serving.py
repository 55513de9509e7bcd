"""`serving`: what the serving pods measure of themselves."""

from enum import StrEnum

from belay_api.rollout.sources.unit import Unit


class ServingMeasure(StrEnum):
    """What the serving pods measure of themselves."""

    LATENCY_P99 = "latencyP99"
    ERROR_RATE = "errorRate"

    @property
    def unit(self) -> Unit:
        """What it is measured in."""
        return Unit.DURATION if self is ServingMeasure.LATENCY_P99 else Unit.SHARE
