"""Remove the checkpoints of all seeds of a training and the journal of its search, in a pod that the operator makes for
`spec.cleanup`. Whether there was a search is not known here: the configuration of its seeds does not say.

Artifacts are not touched. Exit codes: 0 removed · 3 bad configuration · 1 the store does not answer: worth another try.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from belay_api import names
from belay_trainer.config import read_run
from belay_trainer.logbook import connect
from belay_trainer.store import open_store

HELP = "remove the checkpoints of a training that is over, as its cleanup does"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the operator puts things."""
    parser.add_argument("--job-file", type=Path, default=Path(names.JOB_FILE), help="the TrainingConfig")
    parser.add_argument("--pvc-dir", type=Path, default=Path(names.PVC_DIR), help="where storage.pvc is mounted")
    parser.add_argument("--logbook-url", default=os.environ.get(names.LOGBOOK_URL_ENV), help="unset: no logbook")
    parser.add_argument("--token-file", type=Path, default=Path(names.TOKEN_FILE), help="bearer token for the logbook")
    parser.add_argument("--key-file", type=Path, default=Path(names.JOB_KEY_FILE), help="the job's key; may be absent")


def run(options: argparse.Namespace) -> int:
    """Remove them and return the exit code."""
    count = _remove(options)
    print(f"The checkpoints of {count} seeds are removed.")
    return names.EXIT_DONE


def _remove(options: argparse.Namespace) -> int:
    from belay_trainer.search.journal import open_lines  # noqa: PLC0415  (brings Optuna)

    first = read_run(options.job_file, "0", options.key_file)
    uid, url = first.config.uid, options.logbook_url
    logbook = connect(url, options.token_file, key=first.key, uid=uid) if url else None
    count = first.spec.seeds.count
    for index in range(count):
        open_store(replace(first, index=index), pvc_dir=options.pvc_dir, logbook=logbook).clear()
    open_lines(first, pvc_dir=options.pvc_dir, logbook=logbook).clear()
    return count
