"""Train one seed, publish its best policy, leave a report, exit with a meaning; or search for settings, where the spec
that is mounted still has a search.

Everything it needs is mounted or set by the operator; the flags exist for people and tests outside a cluster.
Exit codes: 0 published · 3 bad configuration · 4 diverged or given up · 143 stopped after a save · 1 anything else,
worth a retry.
"""

import argparse
import dataclasses
import errno
import logging
import os
import sys
from pathlib import Path

from belay_api import names
from belay_api.training import TrainingReport
from belay_trainer import stall
from belay_trainer.config import Run, read_index, read_run
from belay_trainer.errors import TrainerError, own_error
from belay_trainer.logbook import connect
from belay_trainer.report import write_report
from belay_trainer.runtime import bring_in
from belay_trainer.stop import Stop

HELP = "train one seed, as the pods of an RLTrainingJob do"
FULL = (errno.ENOSPC, errno.EDQUOT)
log = logging.getLogger("belay_trainer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the operator puts things; the flags exist for people and tests outside a cluster."""
    parser.add_argument("--job-file", type=Path, default=Path(names.JOB_FILE), help="the TrainingConfig")
    parser.add_argument("--index", default=os.environ.get(names.INDEX_ENV), help="completion index")
    parser.add_argument("--work-dir", type=Path, default=Path(names.WORK_DIR), help="scratch and local checkpoints")
    parser.add_argument("--pvc-dir", type=Path, default=Path(names.PVC_DIR), help="where storage.pvc is mounted")
    parser.add_argument(
        "--initial-dir", type=Path, default=Path(names.INITIAL_DIR), help="of initFrom: claim or policy"
    )
    parser.add_argument("--baseline-dir", type=Path, default=Path(names.BASELINE_DIR), help="of betterThan, likewise")
    parser.add_argument("--termination-log", type=Path, default=Path(names.TERMINATION_LOG), help="for the report")
    parser.add_argument("--logbook-url", default=os.environ.get(names.LOGBOOK_URL_ENV), help="unset: no logbook")
    parser.add_argument("--token-file", type=Path, default=Path(names.TOKEN_FILE), help="bearer token for the logbook")
    parser.add_argument("--code-dir", type=Path, default=Path(names.CODE_DIR), help="where runtime.code is mounted")
    parser.add_argument("--git-credentials", type=Path, default=Path(names.GIT_CREDENTIALS_DIR), help="a folder")
    parser.add_argument("--local", type=Path, help="a run's folder in place of store and logbook: `belay-trainer run`")
    parser.add_argument("--key-file", type=Path, default=Path(names.JOB_KEY_FILE), help="the job's key; may be absent")


def run(options: argparse.Namespace) -> int:
    """Live a training pod's life and return its exit code."""
    stop = Stop()
    stop.listen()  # before the slow imports: a pod may be asked to go at any time
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for every heartbeat
    asked: Run | None = None
    try:
        asked = read_run(options.job_file, options.index, options.key_file)
        if options.local is None:  # else the code and the packages of whoever runs us are there already
            asked = _with_runtime(asked, options, stop)
        report, code = _train(asked, options, stop), names.EXIT_DONE
    except TrainerError as error:
        log.error("%s: %s", error.outcome, error, exc_info=own_error(error))
        report, code = _failure(asked, options.index, error.outcome, str(error)), error.exit_code
        report = report.model_copy(update={"findings": list(error.findings)})
    except Exception as error:  # the last door: a report says more to the user than a lost traceback
        log.exception("the trainer failed")
        report, code = _failure(asked, options.index, "Error", _words(error, options)), 1
    write_report(report, options.termination_log)
    return code


def _with_runtime(run: Run, options: argparse.Namespace, stop: Stop) -> Run:
    folders = {"code_dir": options.code_dir, "credentials_dir": options.git_credentials}
    brought = bring_in(run.spec.runtime, work_dir=options.work_dir, stop=stop, **folders)
    return dataclasses.replace(run, code=brought.code, packages=brought.packages)


def _watch(run: Run, options: argparse.Namespace, stop: Stop) -> None:
    def tell(reason: str) -> None:
        write_report(_failure(run, options.index, "Error", reason), options.termination_log)

    stall.watch(stop, patience_s=run.spec.failure.stall_timeout.total_seconds(), tell=tell)


def _train(run: Run, options: argparse.Namespace, stop: Stop) -> TrainingReport:
    # torch takes seconds to import; bad input is told before.
    if options.local is not None:
        if run.spec.search is not None:
            from belay_trainer.local.worker import search_here as live_here  # noqa: PLC0415
        else:
            from belay_trainer.local.seed import train_here as live_here  # noqa: PLC0415

        _watch(run, options, stop)
        stop.follow(sys.stdin.fileno())  # whoever runs us
        given = {"initial_dir": options.initial_dir, "baseline_dir": options.baseline_dir}
        return live_here(run, options.local, **given, stop=stop)
    if run.spec.search is not None:
        from belay_trainer.search.worker import search_in_pod as live  # noqa: PLC0415
    else:
        from belay_trainer.session import train_and_publish as live  # noqa: PLC0415

    _watch(run, options, stop)
    url, token = options.logbook_url, options.token_file
    logbook = connect(url, token, key=run.key, uid=run.config.uid) if url else None
    given = {"initial_dir": options.initial_dir, "baseline_dir": options.baseline_dir}
    folders = {"work_dir": options.work_dir, "pvc_dir": options.pvc_dir, **given}
    return live(run, **folders, logbook=logbook, stop=stop)


def _words(error: Exception, options: argparse.Namespace) -> str:
    if isinstance(error, OSError) and error.errno in FULL:
        where = options.local or options.work_dir
        return (
            f"no space is left where this seed keeps its checkpoints and curves, {where}: {error}. Make room there, or "
            "keep fewer with checkpoint.keep; then it goes on from the last one that is whole."
        )
    return f"{type(error).__name__}: {error}"


def _failure(run: Run | None, index: str | None, outcome: str, message: str) -> TrainingReport:
    if run is not None:
        return TrainingReport(outcome=outcome, index=run.index, seed=run.seed, message=message)
    try:
        place = read_index(index)
    except TrainerError:
        place = 0
    return TrainingReport(outcome=outcome, index=place, seed=place, message=message)
