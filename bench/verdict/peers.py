"""Rules of others, asked in an environment of their own: their packages want older ones than ours.

`peers_worker.py` has the calls; this file hands it the finished episodes of each look, as people count them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from verdict.rules import Finished, Places
from verdict.world import Episodes, Floats

WORKER = Path(__file__).with_name("peers_worker.py")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
PYTHON = CACHE / "belay" / "peers" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Peers:
    """Where they are, and in how many rollouts of a world they are asked."""

    python: Path
    rollouts: int

    PASS: ClassVar = ("confidence",)
    """Those with a rule for Pass as well."""

    @classmethod
    def installed(cls, rollouts: int) -> Peers | None:
        """Return them, or say that they are not there."""
        if PYTHON.exists() and not subprocess.run([PYTHON, WORKER], capture_output=True, check=False).returncode:
            return cls(PYTHON, rollouts)
        print(
            f"the peers are not installed in {PYTHON.parent.parent}: run without them ("
            "`make peers` installs them, with Python 3.11)",
            file=sys.stderr,
        )
        return None

    def judge(
        self, episodes: Episodes, *, looks: Floats, rollouts: int, arrivals_per_s: float
    ) -> dict[str, tuple[Places, Places, Floats]]:
        """Return by rule when it first fails and passes, and how many of the candidate's episodes it had by each look.

        Args:
            rollouts: The first so many are judged.
            arrivals_per_s: What is expected when a group-sequential test is planned.
        """
        handed: dict[str, object] = {"looks": looks, "expected": arrivals_per_s * looks[-1]}
        for name, candidate in (("candidate", True), ("stable", False)):
            side = Finished.of(episodes, candidate=candidate, looks=looks, rollouts=rollouts)
            total, squares = side.totals()
            handed |= {f"{name}_{what}": getattr(side, what) for what in ("value", "first", "count")}
            handed |= {f"{name}_total": total, f"{name}_squares": squares}
        with tempfile.TemporaryDirectory() as folder:
            question, answer = Path(folder) / "question.npz", Path(folder) / "answer.npz"
            np.savez(question, **handed)
            subprocess.run([self.python, "-W", "ignore", WORKER, question, answer], check=True)
            with np.load(answer) as told:
                said = {name: told[name] for name in told.files}
        finished = np.asarray(handed["candidate_count"], dtype=np.float64)
        rules = sorted({name.split(".")[0] for name in said})
        return {rule: (said[f"{rule}.failed"], said[f"{rule}.passed"], finished) for rule in rules}
