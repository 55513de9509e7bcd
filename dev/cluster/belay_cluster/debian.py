"""Programs that a Debian machine has as packages, installed where they are missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from belay_cluster.shell import Laps, Problem, run, succeeds

PACKAGES = {
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/usr/lib/podman/netavark": "netavark",  # buildah asks for it even when nothing of it is used
    "nft": "nftables",
    "ip": "iproute2",
    "openssl": "openssl",
    "setpriv": "util-linux",
    "modprobe": "kmod",
}
"""Program → Debian package, of what the local cluster runs on."""


def install_packages(laps: Laps, packages: Mapping[str, str] = PACKAGES) -> None:
    """Install the packages whose programs are missing; elsewhere say which ones are needed.

    Args:
        packages: Program → Debian package.
    Raises: Problem without root or apt-get, and when apt-get fails.
    """
    missing = {package for program, package in packages.items() if shutil.which(program) is None}
    if not missing:
        return
    names = sorted(missing)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Problem(
            f"install {', '.join(names)} first (Debian's names); this needs root and apt-get to be done here."
        )
    laps(f"installing {', '.join(names)} …")
    install = ["apt-get", "install", "-y", "--no-install-recommends", *names]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    if not succeeds(install, env=quiet):  # package lists may be absent or old
        run(["apt-get", "update"], what="apt-get update")
        run(install, what="installing packages", env=quiet)
    laps("installed packages")
