"""A run from its YAML to its report, in reading order."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from belay_api import names
from belay_api.artifact import MANIFEST
from belay_api.gates import baseline
from belay_api.init_from import InitialPolicy
from belay_api.policy import BaselinePolicy
from belay_api.training import TrainingConfig, TrainingReport
from belay_trainer.errors import EXIT_GATES_FAILED, BadConfiguration, Interrupted
from belay_trainer.local.display import Display, display_for
from belay_trainer.local.folder import RunFolder
from belay_trainer.local.manifest import Manifest, read_manifest
from belay_trainer.local.seeds import Interrupts, Seeds, exit_code, places
from belay_trainer.local.workers import Workers, search
from belay_trainer.reporting.result import Result, result_of
from belay_trainer.reporting.sentences import finding_lines, sentences
from belay_trainer.reporting.training import POLICY, write_report

STOPPED_AT_ONCE = 130  # 128 + SIGINT, as a process that ctrl-C killed


def run_here(
    config_file: Path,
    *,
    name: str | None,
    out: Path | None,
    parallel: int | None,
    init_from: Path | None = None,
    against: Path | None = None,
) -> int:
    """Train every seed of an RLTrainingJob that is not finished, report, and return the exit code.

    Args:
        name: Which RLTrainingJob, where the file has several.
        out: The run's folder; None: runs/<name>.
        parallel: Seeds at work at once; None: by cores.
        init_from: Folder of the artifact that the seeds begin with; None: they begin anew.
        against: Folder of the one that their gates compare with; None: they compare with none.
    Raises: BadConfiguration, InUse.
    """
    manifest = read_manifest(config_file, name=name)
    folder = RunFolder(out or Path("runs") / manifest.name)
    interrupts = Interrupts()
    interrupts.listen()
    with folder.locked() as lock:
        try:
            given = {"init_from": init_from, "against": against}
            seeds = train_job(manifest, folder, lock=lock, parallel=parallel, interrupts=interrupts, **given)
        except NothingFound as error:
            return error.code(interrupts)
        if interrupts.count > 1:
            return STOPPED_AT_ONCE
        result = _report(seeds.config, seeds.reports, folder, config_file)
    spec = seeds.config.spec.seeds
    code = exit_code(seeds.codes, count=spec.count, required=spec.required or spec.count)
    return EXIT_GATES_FAILED if code == names.EXIT_DONE and result.aggregate is None else code


def _initial(manifest: Manifest, folder: Path | None) -> InitialPolicy | None:
    """Return the policy in a folder, pinned. Raises: BadConfiguration."""
    if folder is None:
        if manifest.spec.init_from is not None:
            raise BadConfiguration(
                "spec.initFrom names a policy of a cluster. Name the folder of its artifact with --init-from, such as "
                "one below artifacts/ of another run."
            )
        return None
    return InitialPolicy(digest=_digest("--init-from", folder))


def _baseline(manifest: Manifest, folder: Path | None) -> BaselinePolicy | None:
    """Return the policy that gates compare with, pinned. Raises: BadConfiguration."""
    name = baseline(manifest.spec.gates)
    if name is None:
        if folder is not None:
            raise BadConfiguration("--against: no gate compares with a policy: name one in performance.betterThan.")
        return None
    if folder is None:
        raise BadConfiguration(
            f"spec.gates: performance: betterThan: RLPolicy {name} is in a cluster. Name the folder of its artifact "
            "with --against, such as one below artifacts/ of another run."
        )
    return BaselinePolicy(policy=name, digest=_digest("--against", folder))


def _digest(flag: str, folder: Path) -> str:
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BadConfiguration(f"{flag} {folder} is no artifact: {error}.") from error
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class NothingFound(Exception):
    """A search ended without settings to train with."""

    def __init__(self, workers: Workers) -> None:
        super().__init__("the search found nothing")
        self.config, self._workers = workers.config, workers

    def code(self, interrupts: Interrupts) -> int:
        """Say why, and return the exit code."""
        if interrupts.count:
            return STOPPED_AT_ONCE if interrupts.count > 1 else Interrupted.exit_code
        reports, codes = self._workers.reports, self._workers.codes
        for words in dict.fromkeys(report.message for report in reports.values() if report.message):
            print(f"{self.config.job}: {words}", file=sys.stderr)
        return exit_code(codes, count=len(codes), required=len(codes) + 1)


def train_job(
    manifest: Manifest,
    folder: RunFolder,
    *,
    lock: int,
    parallel: int | None,
    interrupts: Interrupts,
    init_from: Path | None = None,
    against: Path | None = None,
) -> Seeds:
    """Return the seeds of a job after all that were not finished have ended, or were asked to stop.

    Args:
        lock: Of the folder.
        parallel: Seeds, or trials of its search, at work at once; None: by cores.
        init_from: Folder of the artifact whose weights they begin with; None: they begin anew.
        against: Folder of the one that their gates compare with; None: they compare with none.
    Raises: BadConfiguration, NothingFound.
    """
    initial, beside = _initial(manifest, init_from), _baseline(manifest, against)
    config, config_file = folder.take_up(manifest, initial, beside), folder.config_file
    display = display_for(sys.stderr)
    try:
        _say_what_is_left_out(manifest, display)
        if config.spec.search is not None:
            where = {"parallel": parallel, "interrupts": interrupts, "display": display, "initial": init_from}
            found, workers = search(folder, config, lock, **where)
            if found is None:
                raise NothingFound(workers)
            display.close()
            config, config_file, display = found, folder.seeds_file, display_for(sys.stderr)
        seeds = Seeds(folder, config, config_file, lock, initial=init_from, against=against)
        seeds.train(parallel=places(manifest.spec, parallel), interrupts=interrupts, display=display)
    finally:
        display.close()
    return seeds


def _say_what_is_left_out(manifest: Manifest, display: Display) -> None:
    if manifest.unused:
        display.say(f"Of no use without a cluster, and not checked: {', '.join(manifest.unused)}.")
    if manifest.unchecked:
        display.say(f"Of these some rules are checked by the API server alone: {', '.join(manifest.unchecked)}.")


def _report(
    config: TrainingConfig, reports: Mapping[int, TrainingReport], folder: RunFolder, config_file: Path
) -> Result:
    result = result_of(config, reports, folder)
    write_report(result, folder)
    for line in [*sentences(result), *finding_lines(result)]:
        print(line)
    print(f"Report: {folder.report / 'report.md'}")
    if result.aggregate is not None:
        print(f"Policy: {folder.artifact(result.aggregate.best.artifact)}, as an RLPolicy: {folder.report / POLICY}")
        print(f"Next:   kubectl apply -f {config_file}  (trains the same in a cluster, and publishes the policy there)")
    return result
