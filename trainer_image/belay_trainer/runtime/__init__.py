"""What `spec.runtime` brings into a training pod before it trains: modules of the user's own, and packages.

Both come last on the path that modules are imported from, the user's own before the packages: nothing that Python or
the image has is hidden by them.
"""

import dataclasses
import logging
import site
from pathlib import Path

from belay_trainer.config import Run
from belay_trainer.runtime import importable
from belay_trainer.runtime.code import find_code
from belay_trainer.runtime.packages import install
from belay_trainer.stop import Stop

log = logging.getLogger(__name__)


def bring_in(run: Run, *, work_dir: Path, code_dir: Path, credentials_dir: Path, stop: Stop) -> Run:
    """Return the run with what was brought: its digest and versions go into the artifact.

    Args:
        work_dir: Scratch; packages and what git delivers are put there.
        code_dir: Where a ConfigMap or a claim with code is mounted.
        credentials_dir: Where the Secret for git is mounted.
    Raises: BadConfiguration for what can be had from nowhere; Unreachable, Interrupted.
    """
    runtime = run.spec.runtime
    if runtime.packages:  # first: pip is a child of this process, and the user's modules are none of its business
        folder = (work_dir / "packages").resolve()
        run = dataclasses.replace(run, packages=install(runtime.packages, folder, work_dir=work_dir, stop=stop))
        brought = ", ".join(f"{name} {version}" for name, version in sorted(run.packages.items()))
        log.info("runtime.packages brought %s", brought or "nothing that the image has not")
    if runtime.code is not None:
        code = find_code(runtime.code, mount=code_dir, work_dir=work_dir, credentials=credentials_dir, stop=stop)
        importable.add(code.folder, own=True)
        run = dataclasses.replace(run, code=code.digest)
        log.info("runtime.code is %s", code.digest)
    if runtime.packages:
        site.addsitedir(str(folder))  # as a folder of installed packages: with its .pth files
        importable.add(folder, own=False)
    return run
