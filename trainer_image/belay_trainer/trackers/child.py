"""The process in which a tracker's client lives: lines in, calls out, until the input ends.

    {"kind": "mlflow", "settings": {…}, "run": {…}, "folder": "…", "step": 1024}
    {"step": 2048, "metrics": {"return": 187.3}}

The first line opens a run, or the one that an earlier life of the seed opened; `step` is where this life begins. What
that one has told beyond it comes again, and is not told twice: a metric's timesteps only grow.

What is not answered is asked again, ever less often, and the lines wait meanwhile. What is answered with a no is left
out. Both are said once. Nothing else of this package is imported, and no torch: a client has little memory to itself.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0


class Client(Protocol):
    """A tracker's own client."""

    def open(self) -> None:
        """Open the run, and find out what it has been told. May be called again where it failed."""

    def describe(self) -> None:
        """Tell the run's configuration, where it was not told. May be called again where it failed."""

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell what is new of a row. May be called again where it failed."""

    def refuses(self, error: Exception) -> bool:
        """Return whether an error is a no, which the next try would hear again."""

    def close(self) -> None:
        """Say that the run is over, and send what is left."""


def main() -> None:
    """Serve the lines of the standard input."""
    opening = json.loads(sys.stdin.readline() or "null")
    if opening is None:
        return
    serve(client_of(opening), map(json.loads, sys.stdin), say=lambda words: print(words, file=sys.stderr, flush=True))


def client_of(opening: Mapping[str, Any]) -> Client:
    """Return the client that the first line asks for; nothing is sent yet."""
    client: Any
    if opening["kind"] == "mlflow":
        from belay_trainer.trackers.mlflow import MLflow as client  # noqa: PLC0415 - one of them is installed
    else:
        from belay_trainer.trackers.wandb import Wandb as client  # noqa: PLC0415
    made: Client = client(opening)
    return made


def serve(
    client: Client,
    rows: Iterable[Mapping[str, Any]],
    *,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Tell a client all rows, in order.

    Args:
        say: Takes a warning.
        sleep: Waits for so many seconds.
    """
    said: set[str] = set()

    def warn(words: str) -> None:
        if words not in said:
            said.add(words)
            say(words)

    def done(action: Callable[[], None], name: str) -> bool:
        wait = FIRST_WAIT_S
        while True:
            try:
                action()
                return True
            except Exception as error:  # whatever a client raises
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                if client.refuses(error):
                    warn(f"tracking.{name} refuses what it is told, and that is left out: {reason}")
                    return False
                warn(f"tracking.{name} does not answer, training goes on and it is asked again: {reason}")
                sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_S)

    name = type(client).__name__.lower()
    if not done(client.open, name):
        return
    done(client.describe, name)
    for row in rows:
        done(lambda row=row: client.record(row["step"], row["metrics"]), name)
    done(client.close, name)


if __name__ == "__main__":
    main()
