"""All seeds of a run, each in a process of its own: begun, watched, asked to stop, and what became of them.

A seed is what a training pod is: the same command, the same exit codes, the same last word. So it is begun again by
beginning it again. It outlives us by no more than a save: its standard input is a pipe from us, which ends when we do.
"""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from belay_api import names
from belay_api.training import RLTrainingJobSpec, TrainingConfig, TrainingReport
from belay_trainer.errors import Interrupted
from belay_trainer.local.display import Display, Shown
from belay_trainer.local.folder import RunFolder, SeedFolder
from belay_trainer.local.progress import seed_state

LOOK_S = 0.2  # between two looks at the seeds


class Interrupts:
    """How often somebody asked us to stop, by ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self.count = 0

    def listen(self) -> None:
        """Take the signals from now on."""
        signal.signal(signal.SIGINT, self._take)
        signal.signal(signal.SIGTERM, self._take)

    def _take(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1


@dataclass(slots=True)
class Seeds:
    """The processes of a run."""

    folder: RunFolder
    config: TrainingConfig
    config_file: Path  # where it stands
    lock: int  # descriptor that a seed inherits, so that the folder is taken while it lives
    initial: Path | None = None  # folder of the artifact that the seeds begin with; None: they begin anew
    against: Path | None = None  # folder of the one that their gates compare with; None: they compare with none
    reports: dict[int, TrainingReport] = field(default_factory=dict)  # by index, of those that have ended
    codes: dict[int, int] = field(default_factory=dict)  # their exit codes; 0 of those that were finished before
    _at_work: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _begun: set[int] = field(default_factory=set)  # by this run

    def train(self, *, parallel: int, interrupts: Interrupts, display: Display) -> None:
        """Train every seed that is not finished, until all have ended or somebody asked to stop.

        Interrupted once, the seeds save and end; again, they are killed and keep what they saved before.

        Args:
            parallel: Seeds at work at once, at most.
        """
        waiting = deque(self._unfinished())
        began, told_to_stop = time.monotonic(), False
        try:
            while waiting or self._at_work:
                self._collect()
                reason = self._reason_to_stop(interrupts, began)
                if reason and not told_to_stop:
                    told_to_stop = True
                    waiting.clear()
                    display.say(reason)
                    for process in self._at_work.values():
                        process.terminate()
                if interrupts.count > 1:
                    return
                while waiting and len(self._at_work) < parallel:
                    self._begin(waiting.popleft())
                display.show(self._states())
                time.sleep(LOOK_S if self._at_work else 0.0)
            display.show(self._states())
        finally:
            self._kill()

    def seed(self, index: int) -> int:
        """Return the seed of an index."""
        return self.config.spec.seeds.first + index

    def place(self, index: int) -> SeedFolder:
        """Return where the process of an index works."""
        return self.folder.seed(self.seed(index))

    def _unfinished(self) -> Sequence[int]:
        for index in range(self.config.spec.seeds.count):
            if (report := self.folder.finished(self.seed(index))) is not None:
                self.reports[index], self.codes[index] = report, names.EXIT_DONE
        return [index for index in range(self.config.spec.seeds.count) if index not in self.reports]

    def _begin(self, index: int) -> None:
        folder = self.place(index)
        folder.begin()
        self._begun.add(index)
        flags = {
            "job-file": self.config_file,
            "index": index,
            "local": self.folder.root,
            "termination-log": folder.report,
        }
        if self.initial is not None:
            flags["initial-dir"] = self.initial
        if self.against is not None:
            flags["baseline-dir"] = self.against
        command = [
            sys.executable,
            "-m",
            "belay_trainer",
            "pod",
            *(f"--{name}={value}" for name, value in flags.items()),
        ]
        with folder.log.open("ab") as log:
            self._at_work[index] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[self.lock],
                start_new_session=True,  # ctrl-C is for us: we tell the seeds, once
            )

    def _collect(self) -> None:
        """Note the last word of every seed whose process has ended."""
        for index, process in list(self._at_work.items()):
            code = process.poll()
            if code is None:
                continue
            del self._at_work[index]
            self.codes[index] = code
            if process.stdin is not None:
                process.stdin.close()
            folder = self.place(index)
            report = folder.read_report() or TrainingReport(
                outcome="Error",
                index=index,
                seed=self.seed(index),
                message=f"it ended without a last word, {_ending(code)}",
            )
            if report.outcome == "Error":  # whose traceback is printed, and not reported
                report = report.model_copy(update={"message": f"{report.message.rstrip('.')}. See {folder.log}."})
            self.reports[index] = report

    def _reason_to_stop(self, interrupts: Interrupts, began: float) -> str | None:
        deadline = self.config.spec.budget.deadline
        if names.EXIT_BAD_CONFIG in self.codes.values():
            stopped = ": the others are stopped" if len(self.codes) < self.config.spec.seeds.count else ""
            return f"The configuration is bad for every seed{stopped}."
        if interrupts.count:
            return "Saving; the same command goes on from here. Ctrl-C again ends at once."
        if deadline is not None and time.monotonic() - began >= deadline.total_seconds():
            return f"budget.deadline, {deadline}, has passed: the seeds save and end."
        return None

    def _states(self) -> Sequence[Shown]:
        total = self.config.spec.budget.steps
        return [
            seed_state(
                self.seed(index),
                total,
                at_work=index in self._at_work,
                heartbeat=self.place(index).read_heartbeat() if index in self._begun else None,
                report=self.reports.get(index),
            )
            for index in range(self.config.spec.seeds.count)
        ]

    def _kill(self) -> None:
        for process in self._at_work.values():
            process.kill()
            process.wait()


def places(spec: RLTrainingJobSpec, asked_for: int | None) -> int:
    """Return how many seeds are at work at once.

    Args:
        asked_for: By --parallel; None: as many as the cores have room for, each with its threads.
    """
    most = min(spec.seeds.count, spec.seeds.parallelism or spec.seeds.count)
    return max(1, min(most, asked_for or cores() // (spec.runtime.threads or 1)))


def exit_code(codes: Mapping[int, int], *, count: int, required: int) -> int:
    """Return how a run ended, with the meaning that a pod's exit code has.

    Args:
        codes: Of the seeds by index; of a seed that was stopped before it began there is none.
        count: Seeds of the job.
        required: How many must succeed.
    """
    ended = list(codes.values())
    if ended.count(names.EXIT_DONE) >= required:
        return names.EXIT_DONE
    if names.EXIT_BAD_CONFIG in ended:
        return names.EXIT_BAD_CONFIG
    if Interrupted.exit_code in ended or len(ended) < count:
        return Interrupted.exit_code
    failed = set(ended) - {names.EXIT_DONE}
    return names.EXIT_DIVERGED if failed == {names.EXIT_DIVERGED} else 1


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
