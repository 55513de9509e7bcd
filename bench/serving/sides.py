"""Start the servers that are compared: stock TorchServe, and Belay's."""

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import torch

from belay_api.artifact import MANIFEST, EvaluationReport, Lineage, Manifest, file_entries
from belay_api.spaces import BoxSpace, DiscreteSpace

HERE = Path(__file__).parent
START_S = 60.0


@dataclass(frozen=True)
class Side:
    """One running server."""

    name: str
    url: str
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """Return the CPU seconds its processes have used."""
        parent = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
        return sum(one.user + one.system for one in times)


@contextmanager
def stock(folder: Path, port: int) -> Iterator[Side]:
    """TorchServe as `torchserve --start` brings it up; only addresses and the token, which wrk cannot send, are set."""
    store = folder / "store"
    store.mkdir(parents=True)
    archive = ["torch-model-archiver", "--model-name", "policy", "--version", "1", "--export-path", str(store)]
    archive += [
        "--serialized-file",
        str(folder.parent / "artifact" / "policy.pt"),
        "--handler",
        str(HERE / "stock_handler.py"),
    ]
    subprocess.run(archive, check=True)
    addresses = {"inference": port, "management": port + 1, "metrics": port + 2}
    lines = [f"{name}_address=http://127.0.0.1:{number}" for name, number in addresses.items()]
    lines += [f"grpc_inference_port={port + 3}", f"grpc_management_port={port + 4}"]
    (folder / "config.properties").write_text("\n".join(lines) + "\n")
    command = ["torchserve", "--start", "--foreground", "--ncs", "--disable-token-auth", "--model-store", str(store)]
    command += ["--ts-config", str(folder / "config.properties"), "--models", "policy=policy.mar"]
    environment = {"LOG_LOCATION": str(folder), "METRICS_LOCATION": str(folder), "TEMP": str(folder)}
    with _process(command, folder, environment) as process:
        yield _ready(Side("stock", f"http://127.0.0.1:{port}/predictions/policy", process), folder)


@contextmanager
def tuned(name: str, folder: Path, port: int, *, digest: str, batch: int) -> Iterator[Side]:
    """Belay's serving container."""
    folder.mkdir(parents=True)
    (folder / "key").write_bytes(secrets.token_bytes(32))
    environment = {
        "BELAY_POLICY": "cartpole-1",
        "BELAY_NAMESPACE": "team-a",
        "BELAY_ARTIFACT_DIGEST": digest,
        "BELAY_ARTIFACT_DIR": str(folder.parent / "artifact"),
        "BELAY_RECEIPT_KEY_FILE": str(folder / "key"),
        "BELAY_SERVE_DIR": str(folder / "serve"),
        "BELAY_BATCH_SIZE": str(batch),
        "BELAY_SERVING_PORT": str(port),
        "BELAY_MANAGEMENT_PORT": str(port + 1),
        "BELAY_FRONTEND_METRICS_PORT": str(port + 2),
        "BELAY_METRICS_PORT": str(port + 3),
    }
    with _process([sys.executable, "-m", "belay_handler.serve"], folder, environment) as process:
        yield _ready(Side(name, f"http://127.0.0.1:{port}/predictions/policy", process), folder)


def write_artifact(folder: Path, network: Mapping[str, Any]) -> str:
    """Write an untrained policy in both formats; return its digest."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    sizes = [network["inputs"], *network["hidden"]]
    layers: list[torch.nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [torch.nn.Linear(before, after), torch.nn.Tanh()]
    policy = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], network["outputs"])).eval()
    example = torch.zeros(2, network["inputs"])
    torch.jit.save(torch.jit.trace(policy, example), str(folder / "policy.pt"))
    torch.onnx.export(
        policy,
        (example,),
        str(folder / "policy.onnx"),
        input_names=["observation"],
        output_names=["output"],
        dynamic_axes={"observation": {0: "batch"}, "output": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    manifest = Manifest(
        algorithm="ppo",
        environment="CartPole-v1",
        observation=BoxSpace(shape=[network["inputs"]], dtype="float32", low=[None] * 4, high=[None] * 4),
        action=DiscreteSpace(n=network["outputs"]),
        output="logits",
        evaluation=EvaluationReport(step=0, episodes=1, first_seed=0, mean=9.0, std=0.0, min=9.0, max=9.0),
        lineage=Lineage(seed=0, step=0, config_hash="h"),
        files=file_entries(folder),
    )
    (folder / MANIFEST).write_bytes(manifest.canonical())
    return manifest.digest()


@contextmanager
def _process(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | dict(environment),
        )
    try:
        yield process
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            one.send_signal(signal.SIGKILL)
        process.wait()


def _ready(side: Side, folder: Path) -> Side:
    body = b'{"observation": [0, 0, 0, 0]}'
    request = urllib.request.Request(side.url, body, {"content-type": "application/json"})
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                if b"action" in answer.read():
                    return side
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    raise SystemExit(f"{side.name} did not answer in {START_S:.0f} s:\n{(folder / 'log').read_text()[-3000:]}")
