"""The real cluster that `make cluster images` has brought up: real pods, real Envoy, real logbook.

The API server must run on this machine outside of any container, as the local cluster's does: it is to reach the
webhook that hangs.
"""

import asyncio
import contextlib
import ipaddress
import os
import random
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import yaml
from played import Episode, Played
from stage import BENCH, ROLLOUT, Sides, Stage
from trouble import nowhere

from belay_client import AsyncClient
from belay_cluster.layout import POD_CIDR
from belay_demo.install import EXAMPLES, SYSTEM, chart, use_cluster
from belay_demo.kube import run
from belay_demo.players import Players


class Envoy:
    """Plays through the Gateway, with the client library."""

    def __init__(self, client: AsyncClient, load: Mapping[str, Any]) -> None:
        self._client, self._load = client, load

    async def episode(self, played: Played, rng: random.Random) -> Episode | None:
        """See `Player.episode`."""
        began = version = None
        async with self._client.episode() as episode:
            for _ in range(self._load["decisions"]):
                answer = await episode.act([rng.uniform(-0.05, 0.05) for _ in range(4)])
                played.answer(answer.policy, answer.error)
                if answer.policy:
                    began, version = began or time.time(), version or answer.policy
                await asyncio.sleep(self._load["think_s"])
            memory = episode.memory
        if memory.receipt is None or memory.moved or began is None or version is None:
            return None
        return Episode(version, began, memory.receipt)


@contextlib.asynccontextmanager
async def cluster(silent: int, load: Mapping[str, Any]) -> AsyncIterator[Stage]:
    """Install the chart, train two policies and give the stage; the namespace goes afterwards."""
    use_cluster()
    chart()
    BENCH.kubectl("delete", "rltj", "--all", "--cascade=foreground", "--timeout=120s")
    run("kubectl", "delete", "namespace", BENCH.name, "--ignore-not-found", "--wait", "--timeout=120s")
    run("kubectl", "create", "namespace", BENCH.name)
    BENCH.apply(EXAMPLES / "00-gateway.yaml")
    measured = _train()
    outage = Sides(_again(measured.stable, "out-one"), _again(measured.candidate, "out-two"))
    Players(BENCH, rollout=ROLLOUT).url()  # waits for the Gateway's Service
    host = run(
        *("kubectl", "-n", "envoy-gateway-system", "get", "service", "-o", "jsonpath={.items[0].spec.clusterIP}"),
        *("-l", f"gateway.envoyproxy.io/owning-gateway-namespace={BENCH.name}"),
    )
    logbook = run("kubectl", "-n", SYSTEM, "get", "service", "belay-logbook", "-o", "jsonpath={.spec.clusterIP}")
    url = f"http://{host}/predictions/{ROLLOUT}"
    try:
        async with AsyncClient(url, fallback_action=0, timeout_s=2.0) as client, nowhere():
            yield Stage(
                kubeconfig=os.environ["KUBECONFIG"],
                measured=measured,
                outage=outage,
                player=Envoy(client, load),
                outcomes=f"http://{logbook}:8600/v1/namespaces/{BENCH.name}/outcomes",
                token=BENCH.kubectl("create", "token", "default", "--audience=belay-logbook", "--duration=2h").strip(),
                # The last of the pods' range: nobody has them, since a node holds 110 pods and counts from below.
                silent=tuple(str(a) for a in list(ipaddress.ip_network(POD_CIDR).hosts())[-silent:]),
                asked=None,
            )
    finally:
        run("kubectl", "delete", "namespace", BENCH.name, "--wait=false")


def _train() -> Sides:
    """Train two policies, as little as possible, and keep one pod of each running."""
    job = yaml.safe_load((EXAMPLES / "40-undertrained.yaml").read_text())
    found = []
    for name, first in (("one", 1), ("two", 2)):
        job["metadata"] = {"name": name}
        job["spec"]["seeds"] = {"count": 1, "first": first}
        job["spec"]["publish"] = {"family": "bench", "serving": {"replicas": 1}}
        BENCH.apply(job)
    for name in ("one", "two"):
        policy = BENCH.wait(f"job {name}", lambda n=name: BENCH.status("rltj", n).get("publishedPolicy"), timeout_s=300)
        BENCH.wait(policy, lambda p=policy: BENCH.status("rlp", p).get("readyReplicas"), timeout_s=120)
        found.append(policy)
    return Sides(*found)


def _again(policy: str, name: str) -> str:
    """Publish a policy's artifact under another name."""
    spec = {"artifact": BENCH.get("rlp", policy)["spec"]["artifact"]}
    BENCH.apply({"apiVersion": "belay.dev/v1alpha1", "kind": "RLPolicy", "metadata": {"name": name}, "spec": spec})
    return name
