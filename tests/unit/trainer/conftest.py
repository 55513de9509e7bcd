"""What the trainer's tests share. They need torch and Stable-Baselines3: `make test-images` runs them in the image."""

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# Before torch is imported, and for the pods that tests start: threads that wait for each other's tenth of a millisecond
# cost several times what they do, and there is a worker for each core already.
os.environ["OMP_NUM_THREADS"] = "1"
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
collect_ignore_glob = [] if find_spec("stable_baselines3") else ["test_*.py"]
if not collect_ignore_glob:
    sys.path[:0] = [
        str(path) for path in (HERE, ROOT / "api", ROOT / "trainer_image", ROOT / "logbook", ROOT / "handlers")
    ]
    from import_support import Imports
    from trainer_support import LogbookServer, Pods, free_port


@pytest.fixture
def pods(tmp_path: Path) -> "Iterator[Pods]":
    made = Pods(tmp_path)
    yield made
    for pod in made.started:
        if pod.process.poll() is None:
            pod.process.kill()
            pod.process.wait()


@pytest.fixture
def logbook(tmp_path: Path) -> "Iterator[LogbookServer]":
    data = tmp_path / "logbook"
    data.mkdir()
    server = LogbookServer(data, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def imports(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> "Imports":
    caplog.set_level("INFO")
    return Imports(tmp_path, capsys, caplog)
