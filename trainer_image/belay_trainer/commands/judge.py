"""Judge a policy in a pod that the operator makes: for `spec.validation` or `spec.offlineEvaluation` of an RLPolicy, or
a step of an RLRollout.

By hand there are `validate` and `evaluate-offline`. Exit codes: 0 judged, whatever the verdict, which stands in the
report · 3 bad configuration · 143 stopped · 1 anything else, worth a retry.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from belay_api import names
from belay_api.judging_job import JudgingReport
from belay_trainer import stall
from belay_trainer.errors import Interrupted, TrainerError, own_error
from belay_trainer.judging.report import write
from belay_trainer.logbook import connect
from belay_trainer.runtime import bring_in
from belay_trainer.seal import read_key
from belay_trainer.stop import Stop

if TYPE_CHECKING:
    from belay_trainer.judging.pod import JudgingPod

HELP = "judge a policy, as the pods of an RLPolicy's questions do"
log = logging.getLogger("belay_trainer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the operator puts things; the flags exist for tests outside a cluster."""
    parser.add_argument("--job-file", type=Path, default=Path(names.JOB_FILE), help="the JudgingConfig")
    parser.add_argument("--work-dir", type=Path, default=Path(names.WORK_DIR), help="scratch")
    parser.add_argument("--artifact-dir", type=Path, default=Path(names.INITIAL_DIR), help="the artifact's claim")
    parser.add_argument("--against-dir", type=Path, default=Path(names.AGAINST_DIR), help="that of the other artifact")
    parser.add_argument("--baseline-dir", type=Path, default=Path(names.BASELINE_DIR), help="that of betterThan")
    parser.add_argument("--termination-log", type=Path, default=Path(names.TERMINATION_LOG), help="for the report")
    parser.add_argument("--logbook-url", default=os.environ.get(names.LOGBOOK_URL_ENV), help="unset: no logbook")
    parser.add_argument("--token-file", type=Path, default=Path(names.TOKEN_FILE), help="bearer token for the logbook")
    parser.add_argument("--code-dir", type=Path, default=Path(names.CODE_DIR), help="where runtime.code is mounted")
    parser.add_argument("--git-credentials", type=Path, default=Path(names.GIT_CREDENTIALS_DIR), help="a folder")
    parser.add_argument("--key-file", type=Path, default=Path(names.JOB_KEY_FILE), help="the owner's key")


def run(options: argparse.Namespace) -> int:
    """Live a judging pod's life and return its exit code."""
    stop = Stop()
    stop.listen()  # before the slow imports: a pod may be asked to go at any time
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        report, code = _judge(options, stop), names.EXIT_DONE
    except TrainerError as error:
        log.error("%s: %s", error.outcome, error, exc_info=own_error(error))
        outcome = error.outcome if error.outcome in ("BadConfiguration", "Interrupted") else "Error"
        report, code = JudgingReport(outcome=outcome, message=str(error)[:2048]), error.exit_code
    except Exception as error:  # the last door: a report says more to the user than a lost traceback
        log.exception("judging failed")
        report, code = JudgingReport(outcome="Error", message=f"{type(error).__name__}: {error}"[:2048]), 1
    write(report, options.termination_log)
    return code


def _judge(options: argparse.Namespace, stop: Stop) -> JudgingReport:
    from belay_trainer.judging.pod import JudgingPod, read_config  # noqa: PLC0415  bad input is told before what is slow

    config = read_config(options.job_file)
    runtime = config.asked.runtime
    folders = {"code_dir": options.code_dir, "credentials_dir": options.git_credentials}
    bring_in(runtime, work_dir=options.work_dir, stop=stop, **folders)
    url, key = options.logbook_url, read_key(options.key_file)
    logbook = connect(url, options.token_file, key=key, uid=config.uid) if url else None
    claims = (options.artifact_dir, options.against_dir, options.baseline_dir)
    pod = JudgingPod(config, options.work_dir, *claims, logbook, stop)
    if config.validation is not None:
        return _validated(pod, options)
    return _evaluated(pod)


def _validated(pod: "JudgingPod", options: argparse.Namespace) -> JudgingReport:
    from belay_trainer.evaluate import Stopped  # noqa: PLC0415  torch takes seconds
    from belay_trainer.judging.gates import validate  # noqa: PLC0415

    def tell(reason: str) -> None:
        write(JudgingReport(outcome="Error", message=reason[:2048]), options.termination_log)

    asked = pod.config.validation
    stall.watch(pod.stop, patience_s=asked.stall_timeout.total_seconds(), field="validation.stallTimeout", tell=tell)
    try:
        return JudgingReport(outcome="Judged", validation=validate(pod, asked))
    except Stopped as error:
        raise Interrupted("asked to stop while gates were run; the next pod begins anew.") from error


def _evaluated(pod: "JudgingPod") -> JudgingReport:
    from belay_trainer.judging.offline import evaluate_offline  # noqa: PLC0415  as above

    # Nobody looks at a flag between two matrices, and nothing is to be saved.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(names.EXIT_INTERRUPTED))
    return JudgingReport(outcome="Judged", offline_evaluation=evaluate_offline(pod, pod.config.offline_evaluation))
