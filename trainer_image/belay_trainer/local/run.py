"""A run from its YAML to its report, in reading order."""

import sys
from collections.abc import Mapping
from pathlib import Path

from belay_api.training import TrainingConfig, TrainingReport
from belay_trainer.local.display import Display, display_for
from belay_trainer.local.folder import RunFolder
from belay_trainer.local.manifest import Manifest, read_manifest
from belay_trainer.local.seeds import Asked, Seeds, exit_code, places
from belay_trainer.reporting.training import POLICY, result_of, sentences, write_report

STOPPED_AT_ONCE = 130  # 128 + SIGINT, as a process that ctrl-C killed


def run_here(config_file: Path, *, name: str | None, out: Path | None, parallel: int | None) -> int:
    """Train every seed of an RLTrainingJob that is not finished, report, and return the exit code.

    Args:
        name: Which RLTrainingJob, where the file has several.
        out: The run's folder; None: runs/<name>.
        parallel: Seeds at work at once; None: by cores.
    Raises: BadConfiguration, InUse.
    """
    manifest = read_manifest(config_file, name=name)
    folder = RunFolder(out or Path("runs") / manifest.name)
    asked = Asked()
    asked.listen()
    with folder.locked() as lock:
        seeds = train_job(manifest, folder, lock=lock, parallel=parallel, asked=asked)
        if asked.times > 1:
            return STOPPED_AT_ONCE
        _report(seeds.config, seeds.reports, folder, config_file)
    spec = seeds.config.spec.seeds
    return exit_code(seeds.codes, count=spec.count, required=spec.required or spec.count)


def train_job(manifest: Manifest, folder: RunFolder, *, lock: int, parallel: int | None, asked: Asked) -> Seeds:
    """Return the seeds of a job after all that were not finished have ended, or were asked to stop.

    Args:
        lock: Of the folder.
    Raises: BadConfiguration.
    """
    seeds = Seeds(folder, folder.take_up(manifest), lock)
    display = display_for(sys.stderr)
    _say_what_is_left_out(manifest, display)
    try:
        seeds.train(parallel=places(manifest.spec, parallel), asked=asked, display=display)
    finally:
        display.close()
    return seeds


def _say_what_is_left_out(manifest: Manifest, display: Display) -> None:
    if manifest.unused:
        display.say(f"Of no use without a cluster, and not checked: {', '.join(manifest.unused)}.")
    if manifest.unchecked:
        display.say(f"Not checked here, only by the API server: {', '.join(manifest.unchecked)}.")


def _report(
    config: TrainingConfig, reports: Mapping[int, TrainingReport], folder: RunFolder, config_file: Path
) -> None:
    result = result_of(config, reports, folder)
    write_report(result, folder)
    for line in sentences(result):
        print(line)
    print(f"Report: {folder.report / 'report.md'}")
    if result.aggregate is not None:
        print(f"Policy: {folder.artifact(result.aggregate.best.artifact)}, as an RLPolicy: {folder.report / POLICY}")
        print(f"Next:   kubectl apply -f {config_file}  (trains the same in a cluster, and publishes the policy there)")
