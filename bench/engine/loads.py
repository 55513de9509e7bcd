"""What is done to each controller: make rollouts of a first version, then give every one its second.

    Belay   RLRollout + 2 RLPolicies ──▶ Deployment, Service each, HTTPRoute; setWeight 50, pause 1s, bake 1s
    Argo    Rollout                  ──▶ ReplicaSet each; setWeight 50, pause 1s

One replica each. Argo's traffic routers need what a fake cluster lacks, so its canary is the basic one, by the number
of pods: it makes fewer objects and writes no route. What is equal is the user's step: one more canary, carried through.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from watching import Settled

from belay_operator.engine.client import Client
from belay_operator.engine.resources import Resource, resource_of

NAMESPACE = "bench"
AT_ONCE = 16


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

    def __init__(self) -> None:
        self.settled = Settled(_our_side)

    async def create(self, client: Client, size: int) -> None:
        """See `Load.create`."""
        await each(size, lambda n: client.create(policy(f"p{n}-a")))
        await each(size, lambda n: client.create(policy(f"p{n}-b")))
        await each(size, lambda n: client.create(rollout(f"r{n}", f"p{n}-a")))

    async def change(self, client: Client, size: int) -> None:
        """See `Load.change`."""
        await each(size, lambda n: _merge(client, self.resource, f"r{n}", {"policy": {"name": f"p{n}-b"}}))


class ArgoLoad:
    """See the top."""

    resource = Resource("Rollout", "argoproj.io", "v1alpha1", "rollouts")

    def __init__(self) -> None:
        self.settled = Settled(_argos_side)

    async def create(self, client: Client, size: int) -> None:
        """See `Load.create`."""
        path = self.resource.path(NAMESPACE)
        await each(size, lambda n: client.call("POST", self.resource, path, body=self._rollout(n)))

    async def change(self, client: Client, size: int) -> None:
        """See `Load.change`."""
        await each(size, lambda n: _merge(client, self.resource, f"r{n}", {"template": self._template(n, "b")}))

    def _rollout(self, number: int) -> dict[str, Any]:
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": {"app": f"r{number}"}},
            "template": self._template(number, "a"),
            "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {"duration": "1s"}}]}},
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


def policy(name: str) -> dict[str, Any]:
    """Return an RLPolicy whose artifact nobody looks at."""
    digest = name.encode().hex().ljust(64, "0")[:64]
    artifact = {"uri": f"store://sha256/{digest}", "digest": f"sha256:{digest}"}
    return _object("belay.dev/v1alpha1", "RLPolicy", name, {"artifact": artifact})


def rollout(name: str, policy_name: str) -> dict[str, Any]:
    """Return an RLRollout of that policy."""
    spec = {
        "policy": {"name": policy_name},
        "replicas": 1,
        "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
        "steps": [{"setWeight": 50}, {"pause": {"duration": "1s"}}],
        "bake": {"duration": "1s", "keepWarm": "1h"},
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
