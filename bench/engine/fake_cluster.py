"""A control plane without machines: real API server, controllers and scheduler, and nodes that kwok pretends to be.

    operator ──▶ Deployment ──controller-manager──▶ ReplicaSet ──▶ Pod ──scheduler──▶ fake node ──kwok──▶ Running, Ready
             ──▶ HTTPRoute  ────────────────────────────kwok, in a gateway's place──────────────────────▶ Accepted

What kwok reports stands in `stages.yaml`. No kubelet, no container, no traffic: several can run side by side, and each
is gone when its process ends, however it ends.
"""

import json
import os
import subprocess
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from mutations import Mutations, parse

from belay_cluster import gomodule
from belay_cluster.api import Api, ApiServer, free_ports
from belay_cluster.paths import from_environment
from belay_cluster.process import Process, Processes
from belay_cluster.shell import Problem, wait_for

HERE = Path(__file__).parent
NODES = 8  # a kwok node has 1,000 CPUs and 1 TiB; a serving pod asks for 512 MiB, and 5,000 rollouts have 10,000
LEASE_S = 40  # without a Lease that is renewed, the controller manager would take the nodes' pods away
HELPERS = ("kube-scheduler", "kwok")
READY = timedelta(seconds=60)


class FakeCluster:
    """`with FakeCluster() as cluster:`; `cluster.api` is the API server, and `cpu_s` tells who used how much."""

    api: Api

    def __enter__(self) -> "FakeCluster":
        self._stack = ExitStack()
        self.api = self._stack.enter_context(ApiServer(controllers=True))
        self._processes = Processes(self.api.folder / "pids", self.api.folder / "log")
        self._stack.callback(lambda: self._processes.stop(HELPERS, grace=timedelta(0)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def populate(self) -> None:
        """Start scheduler, kwok and nodes. Later than the rest, because kwok wants the CRDs that its stages name.

        Raises: Problem when kwok is not built, or the nodes do not get ready.
        """
        binaries, kubeconfig = from_environment(os.environ).bin, self.api.kubeconfig
        if not (binaries / "kwok").exists():
            raise Problem("kwok is not built. Run `python -m belay_cluster build --only kwok`.")
        scheduler = {
            "kubeconfig": kubeconfig,
            "bind-address": "127.0.0.1",
            "secure-port": free_ports(1)[0],
            "leader-elect": "false",
            "kube-api-qps": 500,
            "kube-api-burst": 1000,
        }
        kwok = {
            "kubeconfig": kubeconfig,
            "manage-all-nodes": "true",
            "node-lease-duration-seconds": LEASE_S,
            "v": "WARN",
        }
        wait_for(self._routes_described, what="HTTPRoute in the API server's schema", timeout=READY)
        for name, flags in (("kube-scheduler", scheduler), ("kwok", kwok)):
            argv = [str(binaries / name), *(f"--{flag}={value}" for flag, value in flags.items())]
            if name == "kwok":
                argv += [f"--config={path}" for path in (HERE / "stages.yaml", *_own_stages())]
            self._processes.start(Process(name, tuple(argv)), die_with_parent=True)
        nodes = [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"fake-{number}"}} for number in range(NODES)
        ]
        self._kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes}))
        hint = f"See {self._processes.logs}/kwok.log"
        wait_for(self._nodes_ready, what="fake nodes ready", timeout=READY, hint=hint)

    def cpu_s(self, *names: str) -> float:
        """Return the CPU seconds that these programs of the control plane have used."""
        ticks = 0
        for name in names:
            pid = self._processes.pid(name)
            if pid is None:
                raise Problem(f"{name} has ended:\n{self._processes.log_tail(name)}")
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def mutations(self) -> Mutations:
        """Return the requests that were to change something, so far."""
        return parse(self._kubectl("get", "--raw", "/metrics"))

    def _routes_described(self) -> bool:
        # An established CRD comes into the schema a moment later, and kwok ends where it does not find it.
        return "apis/gateway.networking.k8s.io/v1" in json.loads(self._kubectl("get", "--raw", "/openapi/v3"))["paths"]

    def _nodes_ready(self) -> bool:
        nodes = json.loads(self._kubectl("get", "nodes", "-o", "json"))["items"]
        held = [c["status"] for node in nodes for c in node["status"].get("conditions", ()) if c["type"] == "Ready"]
        return held == ["True"] * NODES and not any(node["spec"].get("taints") for node in nodes)

    def _kubectl(self, *words: str, stdin: str | None = None) -> str:
        program = from_environment(os.environ).bin / "kubectl"
        command = [str(program), "--kubeconfig", str(self.api.kubeconfig), *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True, timeout=60).stdout


def _own_stages() -> list[Path]:
    """Return kwok's own stages that we use, from its source: a release never holds them apart."""
    stages = gomodule.folder("sigs.k8s.io/kwok", pinned_in="helmtools") / "kustomize" / "stage"
    return [stages / "node/fast/node-initialize.yaml", stages / "pod/fast/pod-delete.yaml"]
