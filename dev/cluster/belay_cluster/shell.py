"""How the driver talks to its user and to other programs: laps with times, one kind of error, one lock.

A `Problem` is the only error a user sees: one paragraph that says what is wrong and what to do about it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

TAIL_LINES = 25
"""Lines of a failed program's output worth showing: enough for a Go or pip error, little enough to read."""


class Problem(Exception):
    """Something only the user can mend; printed without a traceback."""


class Laps:
    """Progress, one line per finished part, with the seconds since the command started."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print one finished part."""
        print(f"{time.monotonic() - self._start:7.1f}s  {text}", file=sys.stderr, flush=True)


def run(
    argv: Iterable[object],
    *,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    log: Path | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        what: What the program is for, in words; the start of the error when it fails.
        env: Added to the driver's own environment.
        log: File that also receives everything the program said; the error names it.
    Raises: Problem when the program is missing or fails, with the last lines it printed.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise Problem(f"{what}: {command[0]} is not installed. `python -m belay_cluster build` gets it.") from error
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-TAIL_LINES:])
        where = f" (all of it: {log})" if log else ""
        raise Problem(f"{what} failed: {' '.join(command[:6])} … ended with {done.returncode}{where}\n{tail}")
    return done.stdout


def succeeds(argv: Iterable[object], *, env: Mapping[str, str] | None = None) -> bool:
    """True when the program exists and ends with 0; its output is dropped."""
    try:
        done = subprocess.run(
            [str(part) for part in argv], env={**os.environ, **(env or {})}, capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def wait_for(fact: Callable[[], bool], *, what: str, timeout: timedelta, hint: str = "") -> None:
    """Return once `fact` holds, asking again every 0.1 s.

    Raises: Problem after `timeout`, naming `what` never came true and the `hint` where to look.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    while not fact():
        if time.monotonic() >= deadline:
            raise Problem(f"waited {timeout.total_seconds():.0f} s in vain: {what}. {hint}".rstrip())
        time.sleep(0.1)


@contextlib.contextmanager
def lock(path: Path, laps: Laps) -> Iterator[None]:
    """Hold a file lock, so that two drivers on one machine take turns; it is free again when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            laps(f"another driver is at work; waiting for {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
