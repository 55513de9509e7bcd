"""The search of a run, before its seeds: its processes are begun, watched and stopped as those of seeds are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from belay_api.content import spec_hash
from belay_api.search import SearchStatus
from belay_api.searched import with_settings, workers, workers_at_once
from belay_api.training import TrainingConfig, TrainingReport
from belay_trainer import files
from belay_trainer.local.display import Display
from belay_trainer.local.folder import RunFolder, SeedFolder, read_config
from belay_trainer.local.progress import number
from belay_trainer.local.seeds import Interrupts, Seeds, cores


@dataclass(frozen=True, slots=True)
class SearchState:
    """The search as it is shown; see `display.Shown`."""

    status: SearchStatus

    title, unit = "search", "trial"

    @property
    def step(self) -> int:
        """Trials that are over."""
        return self.status.ended

    @property
    def total(self) -> int:
        """Trials asked for."""
        return self.status.trials

    @property
    def news(self) -> object:
        """What a line is written for."""
        return self.status.ended or None

    @property
    def text(self) -> str:
        """What is said beside the bar."""
        status, parts = self.status, []
        if status.best is not None:
            parts.append(f"best {number(status.best.value)} (trial {status.best.trial})")
        for count, word in ((status.pruned, "pruned"), (status.failed, "failed")):
            if count:
                parts.append(f"{count} {word}")
        return ", ".join(parts) or "begins"


@dataclass(slots=True)
class Workers(Seeds):
    """The processes of a search."""

    def place(self, index: int) -> SeedFolder:
        """Return where a process works."""
        return self.folder.worker(index)

    def _unfinished(self) -> Sequence[int]:
        return range(workers(self.config.spec))  # one that has nothing left to do sees that at once

    def _states(self) -> list[SearchState]:
        beats = [self.place(index).read_heartbeat() for index in self._begun]
        told = [beat.search for beat in beats if beat is not None and beat.search is not None]
        trials = self.config.spec.search.trials if self.config.spec.search else 0
        return [SearchState(max(told, key=lambda one: one.ended, default=SearchStatus(trials=trials)))]


def places(config: TrainingConfig, asked_for: int | None) -> int:
    """Return how many trials are at work at once. Args: asked_for: By --parallel; None: as many as cores allow."""
    return max(1, min(workers_at_once(config.spec), asked_for or cores() // (config.spec.runtime.threads or 1)))


def search(
    folder: RunFolder,
    config: TrainingConfig,
    lock: int,
    *,
    parallel: int | None,
    interrupts: Interrupts,
    display: Display,
    initial: Path | None = None,
) -> tuple[TrainingConfig | None, Workers]:
    """Return what the seeds train with, found now or by an earlier run, and the processes that searched.

    Args:
        parallel: Trials at work at once; None: by cores.
        initial: Folder of the artifact that trials begin with; None: they begin anew.
    Returns: None: nothing was found, or somebody asked to stop; exit codes and last words of the processes say why.
    """
    found = Workers(folder, config, folder.config_file, lock, initial=initial)
    if folder.seeds_file.exists():
        return read_config(folder.seeds_file), found
    found.train(parallel=places(config, parallel), interrupts=interrupts, display=display)
    status = result_of(found.reports)
    if interrupts.count or status is None or status.best is None:
        return None, found
    spec = with_settings(config.spec, status.best.settings)
    settled = config.model_copy(update={"spec": spec, "config_hash": spec_hash(spec)})
    files.write_atomically(folder.seeds_file, json.dumps(settled.said(), indent=1, sort_keys=True).encode())
    display.say(f"Trial {status.best.trial} was best, {number(status.best.value)}: {words(status.best.settings)}.")
    display.say("The seeds train with that; what they return is measured anew.")
    return settled, found


def result_of(reports: Mapping[int, TrainingReport]) -> SearchStatus | None:
    """Return what the process that ended last saw; None: none ended well."""
    told = [report.search for report in reports.values() if report.search is not None]
    return max(told, key=lambda one: one.ended, default=None)


def words(settings: Mapping[str, object]) -> str:
    """Return settings as a reader takes them in.

    >>> words({"learning_rate": 0.0003, "net_arch": [64, 64]})
    'learning_rate 0.0003, net_arch [64, 64]'
    """
    return ", ".join(f"{name} {value}" for name, value in settings.items())
