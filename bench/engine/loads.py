"""What is done to each controller: make rollouts of a first version, then give every one its second.

    by              converge: the user makes          promote: the user      the controller makes
    Belay           RLPolicy a, RLRollout             makes RLPolicy b,      Deployment and Service of each version,
                                                      changes the rollout    HTTPRoute
    Argo Rollouts   stable and canary Service,        changes the rollout    ReplicaSet of each version
                    HTTPRoute, Rollout

One replica each, the same way up: half of the traffic, a pause of 1 s, all of it, another second, then done; the old
version's pods stay for an hour. So each rollout ends with two Services, a route and a pod of each version on both
sides, and every request that made them counts, the user's as well.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from argo import PLUGIN_NAME

from belay_operator.engine.client import Client
from belay_operator.engine.resources import Resource, resource_of
from kubeapi import policy
from watching import Settled

NAMESPACE = "bench"
AT_ONCE = 16
HALF, WHOLE = {"setWeight": 50}, {"setWeight": 100}
SECOND = {"pause": {"duration": "1s"}}
PARENTS = [{"name": "public"}]


class Load(Protocol):
    """The same for both."""

    resource: Resource
    """Of the rollouts."""
    settled: Settled
    """How many of them have come to rest, once a watcher tells it."""

    async def create(self, client: Client, size: int) -> None:
        """Make that many rollouts of side `a`."""

    async def change(self, client: Client, size: int) -> None:
        """Ask every one for side `b`."""


class BelayLoad:
    """See the top."""

    resource = resource_of("RLRollout")

    def __init__(self, **spec: Any) -> None:
        """Args: spec: What the rollouts have beside what all of them have, or in its place."""
        self.settled, self._spec = Settled(_our_side), spec

    async def create(self, client: Client, size: int) -> None:
        """See `Load.create`."""

        async def one(n: int) -> None:
            await client.create(policy(NAMESPACE, f"p{n}-a"))
            await client.create(rollout(f"r{n}", f"p{n}-a", **self._spec))

        await each(size, one)

    async def change(self, client: Client, size: int) -> None:
        """See `Load.change`."""

        async def one(n: int) -> None:
            await client.create(policy(NAMESPACE, f"p{n}-b"))
            await _merge(client, self.resource, f"r{n}", {"policy": {"name": f"p{n}-b"}})

        await each(size, one)


class ArgoLoad:
    """See the top."""

    resource = Resource("Rollout", "argoproj.io", "v1alpha1", "rollouts")

    def __init__(self, **canary: Any) -> None:
        """Args: canary: What the rollouts' strategy has beside what all of them have, or in its place."""
        self.settled, self._canary = Settled(_argos_side), canary

    async def create(self, client: Client, size: int) -> None:
        """See `Load.create`."""
        path = self.resource.path(NAMESPACE)

        async def one(n: int) -> None:
            for side in ("stable", "canary"):
                await client.create(self._service(n, side))
            await client.create(self._route(n))
            await client.call("POST", self.resource, path, body=self._rollout(n))

        await each(size, one)

    async def change(self, client: Client, size: int) -> None:
        """See `Load.change`."""
        await each(size, lambda n: _merge(client, self.resource, f"r{n}", {"template": self._template(n, "b")}))

    def _service(self, number: int, side: str) -> dict[str, Any]:
        spec = {"selector": {"app": f"r{number}"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
        return _object("v1", "Service", f"r{number}-{side}", spec)

    def _route(self, number: int) -> dict[str, Any]:
        backends = [
            {"name": f"r{number}-{side}", "port": 80, "weight": weight}
            for side, weight in (("stable", 100), ("canary", 0))
        ]
        rule = {"matches": [{"path": {"type": "PathPrefix", "value": f"/r{number}"}}], "backendRefs": backends}
        resource = resource_of("HTTPRoute")
        return _object(resource.api_version, "HTTPRoute", f"r{number}", {"parentRefs": PARENTS, "rules": [rule]})

    def _rollout(self, number: int) -> dict[str, Any]:
        canary = {
            "stableService": f"r{number}-stable",
            "canaryService": f"r{number}-canary",
            "trafficRouting": {"plugins": {PLUGIN_NAME: {"httpRoute": f"r{number}", "namespace": NAMESPACE}}},
            "scaleDownDelaySeconds": 3600,
            "steps": [HALF, SECOND, WHOLE, SECOND],
            **self._canary,
        }
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": {"app": f"r{number}"}},
            "template": self._template(number, "a"),
            "strategy": {"canary": canary},
        }
        return _object(self.resource.api_version, "Rollout", f"r{number}", spec)

    def _template(self, number: int, side: str) -> dict[str, Any]:
        labels = {"app": f"r{number}", "side": side}
        return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": f"app:{side}"}]}}


def _our_side(rollout: Mapping[str, Any]) -> str | None:
    status = rollout.get("status") or {}
    return status["stable"]["policy"].rpartition("-")[2] if status.get("phase") == "Healthy" else None


def _argos_side(rollout: Mapping[str, Any]) -> str | None:
    status, meta = rollout.get("status") or {}, rollout["metadata"]
    seen = status.get("observedGeneration") == str(meta["generation"])
    if not seen or status.get("phase") != "Healthy" or status.get("stableRS") != status.get("currentPodHash"):
        return None
    found: str = rollout["spec"]["template"]["metadata"]["labels"]["side"]
    return found


def rollout(name: str, policy_name: str, **more: Any) -> dict[str, Any]:
    """Return an RLRollout of that policy; with `more` in its spec."""
    spec = {
        "policy": {"name": policy_name},
        "replicas": 1,
        "traffic": {"gatewayAPI": {"parentRefs": PARENTS}},
        "steps": [HALF, SECOND],
        "bake": {"duration": "1s", "keepWarm": "1h"},
        **more,
    }
    return _object("belay.dev/v1alpha1", "RLRollout", name, spec)


async def each(size: int, one: Callable[[int], Any]) -> None:
    """Run `one` for every number below `size`, some at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def held(number: int) -> None:
        async with gate:
            await one(number)

    await asyncio.gather(*(held(number) for number in range(size)))


async def _merge(client: Client, resource: Resource, name: str, spec: Mapping[str, Any]) -> None:
    path = resource.path(NAMESPACE, name)
    await client.call("PATCH", resource, path, body={"spec": spec}, media="application/merge-patch+json")


def _object(api_version: str, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }
