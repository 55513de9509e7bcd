"""Run a command inside an image's files on this machine: for tests that need the image's PyTorch or TorchServe.

Each run gets a writable layer of its own, so runs do not see each other; the network is the machine's. Docker takes
the layer away by itself. buildah's is named after the driver's process id, so that the next run can remove what a
killed one left behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

from belay_cluster.builder import Buildah, Docker, build_images, builder_here
from belay_cluster.images import PREFIX
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem, lock, run

NAME = "belay-run-"
TERMINATED = 143
"""Exit status of a program ended by SIGTERM, as shells report it."""


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
    builder = builder_here(paths, laps)
    if stale:
        ref = f"{PREFIX}/{name}:dev"
    else:
        with lock(paths.cache / "images.lock", laps):
            ref = build_images(paths, laps, builder, [name])[name]
    if stale and ref not in builder.present():
        raise Problem(f"{ref} was never built; leave out --stale.")
    flags = [f"--env={one}" for one in env]
    for source, rest in (mount.split(":", 1) for mount in mounts):
        flags.append(f"--volume={os.path.abspath(source)}:{rest}")
    flags += [f"--user={user}"] if user else []
    signal.signal(signal.SIGTERM, _terminated)
    if isinstance(builder, Docker):
        flags += [f"--workdir={workdir}"] if workdir else []
        # The image's own entrypoint would get the command as its arguments.
        first, *others = command
        return subprocess.call(
            ["docker", "run", "--rm", "--network=host", *flags, f"--entrypoint={first}", ref, *others]
        )
    return _buildah_run(builder, ref, command, [*flags, *([f"--workingdir={workdir}"] if workdir else [])])


def _buildah_run(buildah: Buildah, ref: str, command: list[str], flags: list[str]) -> int:
    """Run in a container of buildah's, which is removed however the command ends."""
    remove_abandoned(buildah)
    container = f"{NAME}{os.getpid()}"
    run([*buildah.command, "from", "--name", container, ref], what=f"container from {ref}", env=buildah.env)
    argv = [*buildah.command, "run", "--isolation", "chroot", "--network=host", *flags, container, "--", *command]
    try:
        return subprocess.call(argv, env={**os.environ, **buildah.env})
    finally:
        run([*buildah.command, "rm", container], what="removing the container", env=buildah.env)


def remove_abandoned(buildah: Buildah) -> None:
    """Remove writable layers whose driver has ended without doing so."""
    listing = run([*buildah.command, "containers", "--json"], what="listing containers", env=buildah.env)
    names = [container["containername"] for container in json.loads(listing or "[]") or []]
    for name in abandoned(names, alive=lambda pid: Path(f"/proc/{pid}").exists()):
        run([*buildah.command, "rm", name], what=f"removing {name}", env=buildah.env)


def abandoned(names: Iterable[str], *, alive: Callable[[int], bool]) -> list[str]:
    """Names of runs whose process is not alive; other containers are none of our business."""
    runs = {name: name.removeprefix(NAME) for name in names if name.startswith(NAME)}
    return [name for name, pid in runs.items() if pid.isdigit() and not alive(int(pid))]


def _terminated(number: int, frame: FrameType | None) -> None:
    """Leave by an exception, so that the writable layer is removed."""
    sys.exit(TERMINATED)
