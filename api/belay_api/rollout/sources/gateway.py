"""`gateway`: what the gateway counts of the pods it asks, whatever these say of themselves."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from belay_api.model import rule
from belay_api.rollout.sources.unit import Unit


class GatewayMeasure(StrEnum):
    """What the gateway counts by pod."""

    ERROR_RATE = "errorRate"

    @property
    def unit(self) -> Unit:
        """What it is measured in."""
        return Unit.SHARE


_NO_LATENCY = (
    "source.gateway is errorRate: a gateway counts answers by pod, and has no latencies by pod. For a latency use "
    "source.serving: latencyP99, which the pods measure, or source.prometheus and a histogram of your own"
)


def _known(value: object) -> object:
    if value not in set(GatewayMeasure):
        raise ValueError(_NO_LATENCY)
    return value


GatewaySource = Annotated[
    GatewayMeasure,
    BeforeValidator(_known),
    # Not by `enum`: the API server's words for that would leave out where a latency is to be had.
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 64,
            "x-kubernetes-validations": [rule(f"self == '{GatewayMeasure.ERROR_RATE}'", _NO_LATENCY)],
        }
    ),
]
