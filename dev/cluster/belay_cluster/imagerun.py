"""Run a command inside an image's files on this machine: for tests that need the image's PyTorch or TorchServe.

Each run gets a writable layer of its own, so runs do not see each other; the network is the machine's.
"""

from __future__ import annotations

import os
import subprocess

from belay_cluster.builder import Buildah, build_images
from belay_cluster.images import PREFIX
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem, lock, run


def image_run(
    paths: Paths,
    laps: Laps,
    name: str,
    command: list[str],
    *,
    mounts: list[str],
    env: list[str],
    workdir: str | None,
    user: str | None,
    stale: bool,
) -> int:
    """Run and return the command's exit status.

    Args:
        mounts: `SOURCE:TARGET[:ro]` each.
        env: `NAME=VALUE` each.
        workdir: Folder inside the image; None: the image's own.
        user: `uid[:gid]`; None: the image's own.
        stale: Take the image as it was built last, whatever has changed since.
    """
    buildah = Buildah(paths, laps)
    if stale:
        ref = f"{PREFIX}/{name}:dev"
    else:
        with lock(paths.cache / "images.lock", laps):
            ref = build_images(paths, laps, buildah, [name])[name]
    if stale and ref not in buildah.present():
        raise Problem(f"{ref} was never built; leave out --stale.")
    container = run([*buildah.command, "from", ref], what=f"container from {ref}", env=buildah.env).strip()
    argv = [*buildah.command, "run", "--isolation", "chroot", "--network=host"]
    for source, rest in (mount.split(":", 1) for mount in mounts):
        argv += ["--volume", f"{os.path.abspath(source)}:{rest}"]
    for one in env:
        argv += ["--env", one]
    argv += ["--workingdir", workdir] if workdir else []
    argv += ["--user", user] if user else []
    try:
        return subprocess.call([*argv, container, "--", *command], env={**os.environ, **buildah.env})
    finally:
        run([*buildah.command, "rm", container], what="removing the container", env=buildah.env)
