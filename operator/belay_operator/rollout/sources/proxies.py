"""Find the proxies of a Gateway, and ask one what it counts of a rollout. Envoy Gateway's: no other kind is known here.

Two kinds of failure leave here. `ProxyDown`: nobody answers now. `NotSetUp`: it stays so until somebody changes the
installation.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import aiohttp

from belay_operator.engine.errors import ApiError, Forbidden
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.sources.endpoints import ProxyAnswer, read, wanted

NAME_LABEL, NAMESPACE_LABEL = (f"gateway.envoyproxy.io/owning-gateway-{part}" for part in ("name", "namespace"))
PORT = 19001  # where Envoy Gateway has its proxies serve their statistics
PATH = "/stats/prometheus"
ANSWER_TIME = timedelta(seconds=2)  # of a proxy with thousands of clusters, the statistics of all of which it looks at
LIST_EVERY_S, ANEW_EVERY_S = 5.0, 1.0  # a proxy that is new is counted from then on

Pod = Mapping[str, Any]
Gateway = tuple[str, str]
"""Namespace and name."""


class ProxyDown(Exception):
    """Nobody answers now."""


class NotSetUp(Exception):
    """Nobody will answer until the installation is another one."""


class Proxies:
    """The proxies of each Gateway, as they were a moment ago."""

    def __init__(self, context: PollerContext) -> None:
        self._context = context
        self._known: dict[Gateway, tuple[float, list[Pod] | NotSetUp]] = {}

    async def of(self, gateway: Gateway, *, anew: bool) -> list[Pod]:
        """Return the pods of a Gateway's proxies. Raises: ProxyDown, NotSetUp.

        Args:
            anew: What was known a moment ago will not do.
        """
        at, known = self._known.get(gateway, (0.0, None))
        if known is None or time.monotonic() - at >= (ANEW_EVERY_S if anew else LIST_EVERY_S):
            try:
                known = await self._list(gateway)
            except NotSetUp as error:
                known = error
            self._known[gateway] = (time.monotonic(), known)
        if isinstance(known, NotSetUp):
            raise NotSetUp(*known.args)
        return known

    async def _list(self, gateway: Gateway) -> list[Pod]:
        namespace, name = gateway
        labels, found, forbidden = {NAME_LABEL: name, NAMESPACE_LABEL: namespace}, list[Pod](), list[str]()
        places = dict.fromkeys([*self._context.settings.gateway_namespaces, namespace])
        for place in places:
            try:
                found += await self._context.pods(place, labels)
            except Forbidden:
                forbidden.append(place)
            except ApiError as error:
                raise ProxyDown(
                    f"the API server does not say which proxies Gateway {namespace}/{name} has: {error}"
                ) from error
        if found:
            return found
        words = f"no pod in {' or '.join(places)} is a proxy that Envoy Gateway keeps for Gateway {namespace}/{name}"
        if forbidden:
            words += f" (the operator may not look into {' and '.join(forbidden)})"
        raise NotSetUp(
            f"{words}. Name the namespace of its proxies in operator.gatewayNamespaces of the chart; of a gateway that "
            "is not Envoy Gateway's, or whose proxies several Gateways share, use source.prometheus"
        )


async def ask(http: aiohttp.ClientSession, pod: Pod, namespace: str, rollout: str) -> ProxyAnswer:
    """Return what a proxy counts of a rollout. Raises: ProxyDown."""
    address, name = (pod.get("status") or {}).get("podIP"), pod["metadata"]["name"]
    if not address:
        raise ProxyDown(f"the proxy {name} has no address yet")
    url = f"http://{f'[{address}]' if ':' in address else address}:{PORT}{PATH}"
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIME.total_seconds())
    try:
        async with http.get(url, params={"filter": wanted(namespace, rollout)}, timeout=timeout) as answer:
            answer.raise_for_status()
            return read(await answer.text(), namespace, rollout)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        told = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise ProxyDown(f"the proxy {name} does not tell on port {PORT} what it counts ({told})") from error


def ready(pods: Sequence[Pod]) -> list[Pod]:
    """Return those that somebody expects an answer of."""
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _is_ready(pod)]


def _is_ready(pod: Pod) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
