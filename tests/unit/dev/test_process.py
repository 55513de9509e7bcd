"""Processes are known by id and start time, so that a stale file never ends a stranger."""

import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from belay_cluster.process import Process, Processes, start_time

SLEEP = Process("sleep", ("sleep", "60"))


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path / "pids", tmp_path / "log")


def test_started_once_found_again_and_stopped(processes: Processes) -> None:
    assert processes.start(SLEEP)
    pid = processes.pid("sleep")
    assert not processes.start(SLEEP)
    assert processes.pid("sleep") == pid
    processes.stop(["sleep"], grace=timedelta(seconds=5))
    assert processes.pid("sleep") is None
    assert processes.names() == []


def test_a_stranger_with_a_reused_id_is_left_alone(processes: Processes) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        processes.pids.mkdir()
        started = start_time(stranger.pid)
        assert started is not None
        (processes.pids / "sleep").write_text(f"{stranger.pid} {started - 1}")
        assert processes.pid("sleep") is None
        processes.stop(["sleep"], grace=timedelta(0))
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_one_that_ignores_term_is_killed_after_the_grace(processes: Processes) -> None:
    script = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    processes.start(Process("stubborn", (sys.executable, "-c", script)))
    deadline = time.monotonic() + 10
    while "ready" not in processes.log_tail("stubborn") and time.monotonic() < deadline:
        time.sleep(0.02)
    processes.stop(["stubborn"], grace=timedelta(seconds=0.2))
    assert processes.pid("stubborn") is None


def test_one_that_ends_at_once_is_not_alive(processes: Processes) -> None:
    processes.start(Process("false", ("false",)))
    deadline = time.monotonic() + 10
    while processes.pid("false") is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes.pid("false") is None


def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import os, signal, time
from pathlib import Path
from belay_cluster.process import Process, Processes
processes = Processes(Path({str(tmp_path)!r}) / "pids", Path({str(tmp_path)!r}) / "log")
processes.start(Process("sleep", ("sleep", "60")), die_with_parent=True)
while Path(f"/proc/{{processes.pid('sleep')}}/comm").read_text() != "sleep\\n":
    time.sleep(0.02)  # until then setpriv has not asked the kernel
os.kill(os.getpid(), signal.SIGKILL)
"""
    driver = Path(__file__).parents[3] / "dev" / "cluster"
    done = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": str(driver)}, check=False)
    assert done.returncode == -signal.SIGKILL
    processes = Processes(tmp_path / "pids", tmp_path / "log")
    deadline = time.monotonic() + 10
    while processes.pid("sleep") is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes.pid("sleep") is None
