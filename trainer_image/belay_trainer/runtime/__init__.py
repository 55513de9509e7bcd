"""What a spec's `runtime` brings into a pod before it begins: modules of the user's own, and packages.

Both come last on the path that modules are imported from, the user's own before the packages: nothing that Python or
the image has is hidden by them.
"""

import logging
import site
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from belay_api.runtime import RuntimeSpec
from belay_trainer.runtime import importable
from belay_trainer.runtime.code import find_code
from belay_trainer.runtime.packages import install
from belay_trainer.stop import Stop

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Brought:
    """What was brought: it goes into the artifact of a training."""

    code: str | None = None  # digest of the modules in `runtime.code`; None: there are none
    packages: Mapping[str, str] = field(default_factory=dict)  # versions of what `runtime.packages` brought, by name


def bring_in(runtime: RuntimeSpec, *, work_dir: Path, code_dir: Path, credentials_dir: Path, stop: Stop) -> Brought:
    """Make modules and packages importable.

    Args:
        work_dir: Scratch; packages and what git delivers are put there.
        code_dir: Where a ConfigMap or a claim with code is mounted.
        credentials_dir: Where the Secret for git is mounted.
    Raises: BadConfiguration for what can be had from nowhere; Unreachable, Interrupted.
    """
    code, packages = None, dict[str, str]()
    if runtime.packages:  # first: pip is a child of this process, and the user's modules are none of its business
        folder = (work_dir / "packages").resolve()
        packages = dict(install(runtime.packages, folder, work_dir=work_dir, stop=stop))
        brought = ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))
        log.info("runtime.packages brought %s", brought or "nothing that the image has not")
    if runtime.code is not None:
        found = find_code(runtime.code, mount=code_dir, work_dir=work_dir, credentials=credentials_dir, stop=stop)
        importable.add(found.folder, own=True)
        code = found.digest
        log.info("runtime.code is %s", code)
    if runtime.packages:
        site.addsitedir(str(folder))  # as a folder of installed packages: with its .pth files
        importable.add(folder, own=False)
    return Brought(code, packages)
