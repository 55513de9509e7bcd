"""How a recorded intent becomes traffic, one file per way, behind the protocol in `router.py`."""

from collections.abc import Mapping

from belay_api.rollout.traffic import TrafficSpec
from belay_operator.children import Owner
from belay_operator.rollout.traffic.gateway_api import GatewayRouter
from belay_operator.rollout.traffic.router import Router

PREVIEW_SUFFIX = "-preview"  # of the HTTPRoute's name


def router(traffic: TrafficSpec, *, owner: Owner, labels: Mapping[str, str]) -> Router:
    """Return the way of carrying traffic that the spec asks for; `labels`: the installation's own, for every object."""
    return GatewayRouter(traffic.gateway_api, owner, labels)


def preview_router(traffic: TrafficSpec, *, owner: Owner, labels: Mapping[str, str]) -> Router:
    """Return the way to the preview address: the same path at the same gateways, under its own host names."""
    preview = traffic.gateway_api.preview
    under = traffic.gateway_api.model_copy(update={"hostnames": [] if preview is None else preview.hostnames})
    return GatewayRouter(under, owner, labels, suffix=PREVIEW_SUFFIX)
