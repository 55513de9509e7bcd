"""Where everything of a run lies, and that only one process at a time works there.

job.json                  what is trained: the TrainingConfig of every seed, or of the search before them
search/journal.jsonl      the trials of the search, as all its workers tell them
search/worker-0/          of one process that searches: progress.json, report.json and log, as of a seed
seeds.json                after a search: the TrainingConfig of every seed, with the best settings in it
seed-0/checkpoints/       what the seed goes on from
seed-0/curves.jsonl       its metrics by timestep
seed-0/tensorboard/       the same, for `tensorboard --logdir`
seed-0/progress.json      its newest heartbeat
seed-0/report.json        its TrainingReport, once it has ended
seed-0/log                what it printed
artifacts/<digest>/       the policies, one per seed that succeeded
documents/<sha256>/       reports of their gates
curves.csv                the curves of all seeds in one table
report/                   what to look at: report.md, report.html, report.json, curves.png, policy.yaml
"""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from belay_api.content import frozen, spec_hash
from belay_api.init_from import InitialPolicy
from belay_api.policy import BaselinePolicy
from belay_api.training import ArtifactRef, TrainingConfig, TrainingReport
from belay_api.wire import RunProgress
from belay_trainer import files
from belay_trainer.errors import BadConfiguration, TrainerError
from belay_trainer.local.manifest import Manifest

UID = "local"  # of a job that no API server knows; the same everywhere, so that equal runs publish equal bytes
LOCK_WAIT_S = 15.0  # for the seeds of a run that was killed: they save, and end by themselves
_LOOK_S = 0.2


class InUse(TrainerError):
    """Somebody started a run in a folder where another one is at work."""


@dataclass(frozen=True, slots=True)
class SeedFolder:
    """What one seed leaves."""

    path: Path

    @property
    def heartbeat(self) -> Path:
        """Its newest RunProgress."""
        return self.path / "progress.json"

    @property
    def report(self) -> Path:
        """Its TrainingReport; absent while it trains."""
        return self.path / "report.json"

    @property
    def curves(self) -> Path:
        """Its metrics by timestep."""
        return self.path / "curves.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Its event files."""
        return self.path / "tensorboard"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.path / "log"

    def read_heartbeat(self) -> RunProgress | None:
        """Return its newest heartbeat; None: it has told none."""
        try:
            return RunProgress.model_validate_json(self.heartbeat.read_bytes())
        except (OSError, ValidationError):
            return None

    def read_report(self) -> TrainingReport | None:
        """Return its last word; None: it has none."""
        try:
            return TrainingReport.model_validate_json(self.report.read_bytes())
        except (OSError, ValidationError):
            return None

    def begin(self) -> None:
        """Take away what an earlier life said last; checkpoints and curves stay."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.heartbeat.unlink(missing_ok=True)
        self.report.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder."""

    root: Path

    @property
    def config_file(self) -> Path:
        """What every seed reads."""
        return self.root / "job.json"

    @property
    def seeds_file(self) -> Path:
        """What every seed reads after a search; absent before its end."""
        return self.root / "seeds.json"

    @property
    def journal(self) -> Path:
        """The trials of the search."""
        return self.root / "search" / "journal.jsonl"

    @property
    def curves(self) -> Path:
        """The table of all curves."""
        return self.root / "curves.csv"

    @property
    def report(self) -> Path:
        """The folder with what people look at."""
        return self.root / "report"

    def seed(self, seed: int) -> SeedFolder:
        """Return the folder of a seed."""
        return SeedFolder(self.root / f"seed-{seed}")

    def worker(self, index: int) -> SeedFolder:
        """Return the folder of a process that searches."""
        return SeedFolder(self.root / "search" / f"worker-{index}")

    def artifact(self, ref: ArtifactRef) -> Path:
        """Return where an artifact's files lie."""
        return self.root / "artifacts" / ref.digest.removeprefix("sha256:")

    def finished(self, seed: int) -> TrainingReport | None:
        """Return the report of a seed that needs no more training; None: it does."""
        report = self.seed(seed).read_report()
        done = report is not None and report.outcome == "Succeeded" and report.artifact is not None
        return report if done and (self.artifact(report.artifact) / "manifest.json").is_file() else None

    def take_up(
        self, manifest: Manifest, initial: InitialPolicy | None = None, baseline: BaselinePolicy | None = None
    ) -> TrainingConfig:
        """Return what is trained here, after writing it down.

        Args:
            initial: What the seeds begin with; None: they begin anew.
            baseline: What their gates compare with; None: nothing.

        Raises: BadConfiguration when something else was begun here before.
        """
        spec = frozen(manifest.spec)
        config = TrainingConfig(
            namespace=manifest.namespace,
            job=manifest.name,
            uid=UID,
            attempt=1,
            spec=spec,
            config_hash=spec_hash(spec),
            initial=initial,
            baseline=baseline,
        )
        if self.config_file.exists():
            self._compare(config)
        else:
            files.write_atomically(self.config_file, json.dumps(config.said(), indent=1, sort_keys=True).encode())
        return config

    @contextmanager
    def locked(self, *, wait_s: float = LOCK_WAIT_S) -> Iterator[int]:
        """Keep others out for the block, and as long as any process lives that inherits the yielded descriptor.

        Raises: InUse, BadConfiguration.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w")
        except OSError as error:
            raise BadConfiguration(f"--out: {error}. Name a folder that can be written.") from error
        with lock:
            until = time.monotonic() + wait_s
            while not _taken(lock.fileno()):
                if time.monotonic() >= until:
                    raise InUse(
                        f"{self.root} is in use by another `belay-trainer run`, or by seeds of one that are still "
                        "saving. Wait for its end, or choose another --out."
                    )
                time.sleep(_LOOK_S)
            yield lock.fileno()

    def _compare(self, config: TrainingConfig) -> None:
        before = read_config(self.config_file)
        changed = list(_differences(before.dump(), config.dump(), ""))
        if changed:
            raise BadConfiguration(
                f"{self.root} was begun with another job; different are {', '.join(changed)}. Results would not be "
                "comparable: choose another --out, or remove the folder."
            )


def read_config(path: Path) -> TrainingConfig:
    """Return what an earlier run wrote down. Raises: BadConfiguration where another version did, or somebody else."""
    try:
        return TrainingConfig.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        words = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            words = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BadConfiguration(
            f"{path} cannot be read: {words}. Choose another --out, or remove the folder."
        ) from error


def _taken(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _differences(before: Any, after: Any, path: str) -> Iterator[str]:
    """Yield the paths at which two dumps differ, apart from the hash that follows from the others."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if before != after:
            yield path
        return
    for key in sorted(before.keys() | after.keys()):
        if key != "configHash":
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))
