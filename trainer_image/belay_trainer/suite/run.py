"""A suite from its YAML to its report, in reading order.

jobs/<algorithm>-<environment>.yaml    what is trained
runs/<algorithm>-<environment>/        see belay_trainer.local.folder
report/                                report.md, report.html, report.json, a picture for each environment
"""

import sys
from pathlib import Path

from belay_api import names
from belay_trainer.errors import Interrupted
from belay_trainer.local.folder import RunFolder
from belay_trainer.local.run import STOPPED_AT_ONCE, NothingFound, train_job
from belay_trainer.local.seeds import Interrupts, exit_code
from belay_trainer.reporting.document import write
from belay_trainer.reporting.result import result_of
from belay_trainer.reporting.sentences import sentences
from belay_trainer.reporting.training import write_report
from belay_trainer.suite.report import Played, document, draw
from belay_trainer.suite.spec import Pair, read_suite


def run_suite(config_file: Path, *, out: Path | None, parallel: int | None) -> int:
    """Train every seed of every pair that is not finished, report, and return the exit code.

    A pair that cannot be trained is told in the report and stops no other.

    Args:
        out: The suite's folder; None: suites/<name of the file>.
        parallel: Seeds at work at once; None: by cores.
    Raises: BadConfiguration, InUse.
    """
    root = out or Path("suites") / config_file.stem
    pairs = read_suite(config_file, root / "jobs")
    interrupts = Interrupts()
    interrupts.listen()
    played: list[Played] = []
    for place, pair in enumerate(pairs, start=1):
        print(f"{place} of {len(pairs)}: {pair.algorithm} in {pair.environment}", file=sys.stderr)
        played.append(_play(pair, root, parallel=parallel, interrupts=interrupts))
        if interrupts.count:
            return STOPPED_AT_ONCE if interrupts.count > 1 else Interrupted.exit_code
    draw(played, root / "report")
    write(document(config_file.stem, played), root / "report")
    print(f"Report: {root / 'report' / 'report.md'}")
    return max((one.code for one in played), default=names.EXIT_DONE)


def _play(pair: Pair, root: Path, *, parallel: int | None, interrupts: Interrupts) -> Played:
    folder = RunFolder(root / "runs" / pair.name)
    with folder.locked() as lock:
        try:
            seeds = train_job(pair.manifest, folder, lock=lock, parallel=parallel, interrupts=interrupts)
        except NothingFound as error:
            return Played(
                pair.environment, pair.algorithm, result_of(error.config, {}, folder), folder, error.code(interrupts)
            )
        result = result_of(seeds.config, seeds.reports, folder)
        if not interrupts.count:
            write_report(result, folder)
            print(f"{pair.name}: {sentences(result)[0]}")
    spec = pair.manifest.spec.seeds
    code = exit_code(seeds.codes, count=spec.count, required=spec.required or spec.count)
    return Played(pair.environment, pair.algorithm, result, folder, code)
