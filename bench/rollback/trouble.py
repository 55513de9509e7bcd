"""What must not delay a rollback: a webhook that hangs, and pods that are called Ready and do not answer.

webhook   every write of a Deployment or Service in a namespace of its own waits for an address that takes
          connections and never says a word; policies there change all the time, so the operator always has
          such a write under way, as many as it has workers for
dead pods pods of a candidate on trial: the operator asks each of them once a second and hears nothing
"""

import asyncio
import base64
import contextlib
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from belay_api import names
from belay_cluster import pki
from belay_demo.kube import Namespace, run
from belay_operator.engine.client import Client
from belay_operator.engine.resources import resource_of
from kubeapi import policy

SLOW = Namespace("bench-rollback-slow")
WEBHOOK = "belay-bench-hangs"
NODE = "belay-bench-nowhere"
LEASE_S = 40  # of the node that is not there; renewed, or the node controller would take its pods away
WEBHOOK_S = 30  # the longest that the API server lets one hang


class Silence:
    """Addresses that take connections and never answer."""

    def __init__(self) -> None:
        self.open: set[asyncio.Transport] = set()
        self.most = self.taken = 0
        self.holds = asyncio.Event()  # clear: hang up at once
        self.holds.set()
        self._servers: list[asyncio.Server] = []

    async def listen(self, host: str, port: int = 0, *, tls: ssl.SSLContext | None = None) -> int:
        """Take connections at one more address; return its port."""
        server = await asyncio.get_running_loop().create_server(lambda: _Held(self), host, port, ssl=tls)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def let_go(self) -> None:
        """Hang up, on everybody there is and on everybody who comes until `holds` is set."""
        self.holds.clear()
        for transport in self.open.copy():
            transport.abort()

    def close(self) -> None:
        """Take no more, and hang up."""
        for server in self._servers:
            server.close()
        self.let_go()


class _Held(asyncio.Protocol):
    """One connection on which nobody says a word."""

    def __init__(self, silence: Silence) -> None:
        self._silence = silence

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._silence.holds.is_set():
            self._transport.abort()
            return
        self._silence.open.add(self._transport)
        self._silence.taken += 1
        self._silence.most = max(self._silence.most, len(self._silence.open))

    def connection_lost(self, _: Exception | None) -> None:
        self._silence.open.discard(self._transport)


@contextlib.asynccontextmanager
async def hanging_webhook(client: Client, load: Mapping[str, Any]) -> AsyncIterator[Silence]:
    """While what is given `holds`, let the slow namespace's writes hang, and keep such writes coming."""
    silence = Silence()
    silence.let_go()
    with tempfile.TemporaryDirectory() as name:
        folder, host = Path(name), "127.0.0.1"  # where the API server runs, on the local cluster as in API-only mode
        pki.make(folder, (pki.Certificate("webhook", "/CN=webhook", (f"IP:{host}",)),))
        # A handshake that hung would end after 10 s, long before the webhook's own limit.
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(folder / "webhook.crt", folder / "webhook.key")
        port = await silence.listen(host, tls=tls)
        url, authority = f"https://{host}:{port}/", (folder / "ca.crt").read_bytes()
    run("kubectl", "delete", "namespace", SLOW.name, "--ignore-not-found", "--wait", "--timeout=120s")
    run("kubectl", "create", "namespace", SLOW.name)
    run("kubectl", "apply", "-f", "-", stdin=json.dumps(_webhook(url, authority)))
    policies = [f"slow-{number}" for number in range(load["policies"])]
    for name in policies:
        await client.create(policy(SLOW.name, name))
    changing = asyncio.create_task(_change(client, policies, 1 / load["changes_per_s"], silence.holds))
    try:
        yield silence
        if changing.done():
            changing.result()  # it never ends but by an error
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        silence.close()
        run("kubectl", "delete", "validatingwebhookconfiguration", WEBHOOK)
        run("kubectl", "delete", "namespace", SLOW.name, "--wait=false")


async def _change(client: Client, policies: Sequence[str], pause_s: float, wanted: asyncio.Event) -> None:
    resource, turn = resource_of("RLPolicy"), 0
    while True:
        await wanted.wait()
        turn += 1
        path = resource.path(SLOW.name, policies[turn % len(policies)])
        change = {"spec": {"serving": {"replicas": 1 + turn // len(policies) % 2}}}
        await client.call("PATCH", resource, path, body=change, media="application/merge-patch+json")
        await asyncio.sleep(pause_s)


def _webhook(url: str, authority: bytes) -> dict[str, Any]:
    def rule(group: str, resource: str) -> dict[str, Any]:
        return {
            "apiGroups": [group],
            "apiVersions": ["v1"],
            "resources": [resource],
            "operations": ["CREATE", "UPDATE"],
        }

    hook = {
        "name": "hangs.bench.belay.dev",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SLOW.name}},
        "rules": [rule("apps", "deployments"), rule("", "services")],
        "failurePolicy": "Fail",
        "timeoutSeconds": WEBHOOK_S,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": WEBHOOK},
        "webhooks": [hook],
    }


async def dead_pods(client: Client, namespace: str, policy_name: str, addresses: Sequence[str]) -> None:
    """Add a Ready pod for each address to a policy's own, on a node that nobody runs."""
    labels = {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.POLICY_LABEL: policy_name}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    pods = resource_of("Pod")
    for number, address in enumerate(addresses):
        container = {"name": "server", "image": "none"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"dead-{number}", "namespace": namespace, "labels": labels},
            "spec": {
                "nodeName": NODE,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,  # there is no kubelet to say that it has ended
                "containers": [container],
                "tolerations": [{"operator": "Exists"}],
            },
        }
        await client.create(pod)
        ready = [
            {"type": kind, "status": "True", "lastTransitionTime": now}
            for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ]
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": ready}
        path = pods.path(namespace, f"dead-{number}", "status")
        await client.call("PATCH", pods, path, body={"status": status}, media="application/merge-patch+json")


@contextlib.asynccontextmanager
async def nowhere() -> AsyncIterator[None]:
    """Keep a node without a kubelet in the API, Ready, for the dead pods; a cluster collects pods of no node."""
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE},
        "spec": {"taints": [{"key": "bench.belay.dev/nowhere", "effect": "NoSchedule"}]},
    }
    await asyncio.to_thread(run, "kubectl", "apply", "-f", "-", stdin=json.dumps(node))
    alive = asyncio.create_task(_alive())
    try:
        yield
    finally:
        alive.cancel()
        await asyncio.gather(alive, return_exceptions=True)
        run("kubectl", "delete", "node", NODE, "--ignore-not-found")


async def _alive() -> None:
    while True:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NODE, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": NODE, "leaseDurationSeconds": LEASE_S, "renewTime": now},
        }
        await asyncio.to_thread(run, "kubectl", "apply", "-f", "-", stdin=json.dumps(lease))
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Bench",
            "message": "",
            "lastHeartbeatTime": now[:19] + "Z",
        }
        patch = json.dumps({"status": {"conditions": [ready]}})
        await asyncio.to_thread(
            run, "kubectl", "patch", "node", NODE, "--subresource=status", "--type=strategic", "-p", patch
        )
        await asyncio.sleep(LEASE_S / 4)
