"""How a recorded intent becomes traffic, one file per way, behind the protocol in `router.py`."""

from collections.abc import Mapping

from belay_api.rollout.traffic import TrafficSpec
from belay_operator.children import Owner
from belay_operator.rollout.traffic.gateway_api import GatewayRouter
from belay_operator.rollout.traffic.replicas import ReplicasRouter
from belay_operator.rollout.traffic.router import Router

PREVIEW_SUFFIX = "-preview"  # of the HTTPRoute's name


def router(traffic: TrafficSpec, *, owner: Owner, labels: Mapping[str, str]) -> Router:
    """Return the way of carrying traffic that the spec asks for; `labels`: the installation's own, for every object."""
    if traffic.gateway_api is not None:
        return GatewayRouter(traffic.gateway_api, owner, labels)
    return ReplicasRouter(owner, labels)


def preview_router(traffic: TrafficSpec, *, owner: Owner, labels: Mapping[str, str]) -> Router | None:
    """Return the way to the preview address: the same path at the same gateways, under its own host names.

    None: there is no gateway, and so no such address.
    """
    gateway = traffic.gateway_api
    if gateway is None:
        return None
    under = gateway.model_copy(update={"hostnames": [] if gateway.preview is None else gateway.preview.hostnames})
    return GatewayRouter(under, owner, labels, suffix=PREVIEW_SUFFIX)
