"""Start and stop plain processes that outlive the driver, and never signal a stranger.

A process is known by its id *and* its start time (clock ticks since boot, /proc/ID/stat field 22): ids are reused, and
a stale file must not make `down` end somebody else's program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One long-running program, as data."""

    name: str
    """File name of its log and process id."""
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    """Added to the driver's own environment."""


def parse_stat(stat: str) -> tuple[str, int]:
    """State letter and start time out of /proc/ID/stat; the command name in between may hold spaces and brackets."""
    fields = stat[stat.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def start_time(pid: int) -> int | None:
    """Start time of a living process; None when there is none, or only its zombie."""
    try:
        state, started = parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else started


class Processes:
    """The processes of one cluster: ids in one folder, logs in another."""

    def __init__(self, pids: Path, logs: Path) -> None:
        self.pids, self.logs = pids, logs

    def pid(self, name: str) -> int | None:
        """Id of a living process of ours; None when it never ran or has ended."""
        try:
            pid, started = map(int, (self.pids / name).read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return pid if start_time(pid) == started else None

    def names(self) -> list[str]:
        """Every process ever started here and not stopped, alive or dead."""
        return sorted(path.name for path in self.pids.iterdir()) if self.pids.is_dir() else []

    def start(self, process: Process, *, die_with_parent: bool = False) -> bool:
        """Start unless it runs already; True when it was started now.

        Args:
            die_with_parent: Killed by the kernel when the calling thread's process ends, however it ends.
        """
        if self.pid(process.name) is not None:
            return False
        self.pids.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        # setpriv instead of preexec_fn: prctl between fork and exec is not safe once the caller has threads.
        prefix = ("setpriv", "--pdeathsig", "KILL") if die_with_parent else ()
        with (self.logs / f"{process.name}.log").open("ab") as log:
            child = subprocess.Popen(
                [*prefix, *process.argv],
                env={**os.environ, **process.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.pids / process.name).write_text(f"{child.pid} {start_time(child.pid)}")
        return True

    def log_tail(self, name: str, lines: int = 8) -> str:
        """Last lines of a process's log, for an error message."""
        path = self.logs / f"{name}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.strip().splitlines()[-lines:])

    def stop(self, names: Iterable[str], *, grace: timedelta) -> None:
        """End processes together: TERM, wait up to `grace` for all, KILL the rest."""
        names = list(names)
        pending = {name: pid for name in names if (pid := self.pid(name)) is not None}
        for pid in pending.values():
            _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace.total_seconds()
        while any(self.pid(name) is not None for name in pending) and time.monotonic() < deadline:
            _reap(pending.values())
            time.sleep(0.05)
        for name, pid in pending.items():
            if self.pid(name) is not None:
                _signal(pid, signal.SIGKILL)
        while any(self.pid(name) is not None for name in pending):
            time.sleep(0.02)
        _reap(pending.values())
        for name in names:
            (self.pids / name).unlink(missing_ok=True)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap(pids: Iterable[int]) -> None:
    """Collect exit statuses of our own children; another driver's processes are init's."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
