"""A kubectl of our own in front of the PATH, and a real logbook behind its port-forward."""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.logbook.support import Process

_SCRIPT = """#!{python}
import json, os, sys, time
from pathlib import Path
folder = Path({folder!r})
answers = json.loads((folder / "answers.json").read_text())
with (folder / "calls").open("a") as calls:
    print(" ".join(sys.argv[1:]), file=calls)
verb = next(word for word in sys.argv[1:] if word in answers)
if verb == "port-forward":
    (folder / "forward.pid").write_text(str(os.getpid()))
answer = answers[verb]
print(answer.get("out", ""), flush=True)
print(answer.get("err", ""), file=sys.stderr)
time.sleep(answer.get("sleep", 0))
sys.exit(answer.get("code", 0))
"""
UID = "0b0e5f7a-uid"


class FakeKubectl:
    """What kubectl answers, by its verb, and what it was asked."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        training = {
            "metadata": {"name": "cartpole", "uid": UID},
            "spec": {"seeds": {"count": 2, "first": 40}},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "message": "no node has room"}]},
        }
        self.answers: dict[str, dict[str, Any]] = {
            "config": {"out": "team-a"},
            "get": {"out": json.dumps(training)},
            "create": {"out": "t0ken"},
            "port-forward": {"out": f"Forwarding from 127.0.0.1:{port} -> 8600", "sleep": 60},
        }
        self.set()

    def set(self, **answers: dict[str, Any]) -> None:
        """Answer a verb otherwise; its `-` is written `_`."""
        self.answers |= {verb.replace("_", "-"): answer for verb, answer in answers.items()}
        (self._folder / "answers.json").write_text(json.dumps(self.answers))

    @property
    def calls(self) -> list[str]:
        path = self._folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def forwarding(self) -> bool:
        """Whether the port-forward that was begun still runs."""
        try:
            os.kill(int((self._folder / "forward.pid").read_text()), 0)
        except ProcessLookupError:
            return False
        return True


@pytest.fixture(scope="session")
def logbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("logbook")).start()
    yield process
    process.stop()


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logbook: Process) -> FakeKubectl:
    return _on_path(tmp_path, monkeypatch, logbook.port)


@pytest.fixture
def kubectl_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    """For commands that ask nobody but the API server."""
    return _on_path(tmp_path, monkeypatch, 0)


def _on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> FakeKubectl:
    script = tmp_path / "bin" / "kubectl"
    script.parent.mkdir()
    script.write_text(_SCRIPT.format(python=sys.executable, folder=str(tmp_path)))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(script.parent))
    monkeypatch.delenv("BELAY_LOGBOOK_URL", raising=False)
    return FakeKubectl(tmp_path, port)


@pytest.fixture
def told(logbook: Process, request: pytest.FixtureRequest) -> str:
    """Heartbeats and evaluations of two seeds, in a namespace of this test's own."""
    namespace = f"ns-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    with logbook.client(namespace) as client:
        for index in range(2):
            for step in range(0, 50_000, 5000):
                mean = step / 100 + 10 * index
                beat = {
                    "job": "cartpole",
                    "uid": UID,
                    "index": index,
                    "seed": 40 + index,
                    "total": 45_000,
                    "step": step,
                }
                beat |= {
                    "evaluations": [{"step": step, "mean": mean, "std": 1, "episodes": 20}],
                    "metrics": {"train/loss": 0.5},
                }
                client.post("/progress", json={"items": [beat]}).raise_for_status()
    return namespace
