"""Curves to Weights & Biases: one run for each seed, whose id is ours.

A run there has one clock for all metrics, which only goes forward, and offline there is nobody to ask where it stands.
So offline the newest timestep that was told is kept beside the files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

TOLD = "told"  # file: the newest timestep


class Wandb:
    """See `child.Client`."""

    def __init__(self, opening: Mapping[str, Any]) -> None:
        self._settings, self._run, self._folder = opening["settings"], opening["run"], Path(opening["folder"])
        self._wandb: Any = None
        self._next = 0  # timestep that may be told
        self._at: int | None = None  # of this life, newest; the client sends its row once another begins

    def open(self) -> None:
        """Open the run, or the one of an earlier life."""
        self._folder.mkdir(parents=True, exist_ok=True)
        offline = self._settings.get("mode") == "offline"
        self._wandb = wandb.init(
            id=self._run["id"],
            resume=None if offline else "allow",
            project=self._settings["project"],
            entity=self._settings.get("entity"),
            name=self._run["name"],
            group=self._run["group"],
            config=self._run["config"],
            dir=str(self._folder),
            mode="offline" if offline else "online",
            settings=wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True),
        )
        kept = self._folder / TOLD
        if offline and kept.exists():
            self._next = int(kept.read_text()) + 1
        elif not offline and self._wandb.resumed:
            self._next = self._wandb.starting_step

    def describe(self) -> None:
        """Nothing: the configuration comes with opening."""

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell a row; of one timestep there may be two, which become one."""
        if step < self._next:
            return
        if step != self._at:
            self._keep()
        self._wandb.log(dict(metrics), step=step)
        self._at = step

    def refuses(self, error: Exception) -> bool:
        """Whether it has answered, and its answer is no: a wrong key or project."""
        return isinstance(error, wandb.errors.AuthenticationError | wandb.errors.UsageError)

    def close(self) -> None:
        """Send what is left."""
        self._wandb.finish()
        self._keep()

    def _keep(self) -> None:
        """Note offline what has been told whole: a process that is killed in an evaluation has not told its return."""
        if self._at is not None and self._settings.get("mode") == "offline":
            new = self._folder / f"{TOLD}.new"
            new.write_text(str(self._at))
            new.replace(self._folder / TOLD)  # in one move: half a number would never be read again
