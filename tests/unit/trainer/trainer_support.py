"""Training pods and a real logbook as processes, and the configurations they run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from trainer_configs import make_config

from belay_api.training import TrainingConfig, TrainingReport
from belay_trainer.config import Run
from belay_trainer.errors import Interrupted
from belay_trainer.heartbeat import Heartbeat
from belay_trainer.keeper import Keeper
from belay_trainer.stop import Stop
from belay_trainer.store.folder import FolderStore
from belay_trainer.train import Trained, train

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PATHS = [str(path) for path in (HERE, ROOT / "api", ROOT / "trainer_image", ROOT / "logbook")]
ENVIRONMENT = os.environ | {"PYTHONPATH": ":".join(PATHS)}


def train_in(root: Path, stop: Stop | None = None, **spec: Any) -> Trained:
    """Train seed 0 of such a configuration in this process, with its checkpoints below `root`."""
    run = Run(make_config(**spec), index=0, seed=0)
    keeper = Keeper(root / "here", FolderStore(root, claim="c", seed="u/0"), keep=2)
    try:
        return train(run, keeper=keeper, heartbeat=Heartbeat(None, "demo"), stop=stop or Stop())
    finally:
        keeper.flush(5)
        keeper.close()


def train_in_pieces(root: Path, looks: tuple[int, ...], **spec: Any) -> Trained:
    """Train as `train_in` does, asked to go at the n-th look of each life but the last."""
    for piece in looks:
        with pytest.raises(Interrupted):
            train_in(root, StopAfter(piece), **spec)
    return train_in(root, **spec)


def task_for(algorithm: str) -> dict[str, Any]:
    """Return an environment that an algorithm learns in, as a spec has it."""
    if algorithm == "maskablePPO":
        return {"id": "panels:Panel-v0", "kwargs": {"masks": "info"}}
    return {"id": "Pendulum-v1" if algorithm in ("sac", "td3", "tqc", "crossq") else "CartPole-v1"}


@dataclass
class Pod:
    """One life of a training pod: a process with its own scratch folder."""

    process: subprocess.Popen[bytes]
    work: Path

    def wait(self, timeout: float = 1500) -> int:
        """Return the exit code."""
        return self.process.wait(timeout)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    @property
    def report(self) -> TrainingReport:
        """The pod's last word."""
        return TrainingReport.model_validate_json((self.work / "termination-log").read_bytes())

    @property
    def log(self) -> str:
        """What it printed."""
        return (self.work / "log").read_text()


@dataclass
class Pods:
    """Starts pods that share a volume, and a logbook when there is one."""

    root: Path
    started: list[Pod] = field(default_factory=list)

    @property
    def volume(self) -> Path:
        """The claim."""
        return self.root / "volume"

    def start(
        self,
        config: TrainingConfig,
        *,
        index: str = "0",
        logbook: str | None = None,
        key: bytes | None = None,
        code: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Pod:
        """Start a pod with an empty scratch folder: nothing but the store survives the one before."""
        work = self.root / f"pod-{len(self.started)}"
        work.mkdir()
        self.volume.mkdir(exist_ok=True)
        job = work / "job.json"
        job.write_text(json.dumps(config.dump()))
        flags = {"job-file": job, "index": index, "work-dir": work, "pvc-dir": self.volume}
        flags |= {"termination-log": work / "termination-log", "token-file": work / "no-token"}
        flags |= {"key-file": work / "key"}
        if key is not None:
            (work / "key").write_bytes(key)
        if logbook:
            flags["logbook-url"] = logbook
        if code is not None:
            flags["code-dir"] = code
        command = [sys.executable, "-m", "belay_trainer", *(f"--{name}={value}" for name, value in flags.items())]
        with (work / "log").open("wb") as log:
            pod = Pod(subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT | (env or {})), work)
        self.started.append(pod)
        return pod

    def run(self, config: TrainingConfig, **options: Any) -> Pod:
        """Start a pod and wait for its end."""
        pod = self.start(config, **options)
        pod.wait()
        return pod

    def stored(self) -> list[Path]:
        """Checkpoints on the volume, oldest step first."""
        return sorted(self.volume.glob("checkpoints/*/*/*.ckpt"))


@dataclass
class LogbookServer:
    """A real logbook on loopback that can be stopped and started again on the same data and port."""

    data: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, also while it is down."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        key = self.data / "key"
        key.write_bytes(b"k" * 32)
        command = [sys.executable, "-m", "belay_logbook", "--data", str(self.data / "db"), "--insecure-local"]
        command += ["--listen", f"127.0.0.1:{self.port}", "--receipt-key", str(key)]
        self.process = subprocess.Popen(command, env=ENVIRONMENT)
        until(lambda: _answers(self.url), 30)

    def stop(self) -> None:
        """Kill it, as a lost node would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class StopAfter(Stop):
    """Asked to go at the n-th look."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def asked(self) -> bool:  # type: ignore[override]
        self.looks -= 1
        return self.looks < 0


def until(fact: Callable[[], Any], timeout: float = 600) -> Any:
    """Wait for a fact and return it. Raises: AssertionError when it does not become true in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := fact():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {timeout} s")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=1, trust_env=False).is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
