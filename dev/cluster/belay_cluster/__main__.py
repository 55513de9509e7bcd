"""The command line: parse, call one function, turn a Problem into one message."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from belay_cluster import api, status, traces
from belay_cluster.builder import build_images, recorded
from belay_cluster.choose import Cluster, cluster, look
from belay_cluster.gobuild import build
from belay_cluster.imagerun import image_run
from belay_cluster.images import BELAY, IMAGES, table
from belay_cluster.paths import Paths, from_environment
from belay_cluster.prune import prune
from belay_cluster.shell import Laps, Problem, lock

INTERRUPTED = 130
"""Exit status of a program ended by ctrl-C, as shells report it."""

MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors that speak of the machine, which their own words tell better than a traceback."""


def parser() -> argparse.ArgumentParser:
    """Every command and its options."""
    top = argparse.ArgumentParser(prog="belay_cluster", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("build", help="build the pinned Go programs")
    one.add_argument(
        "--only", choices=("all", "api", "gateway", "helm", "kind", "kwok", "argo", "argocd"), default="all"
    )
    one = commands.add_parser("up", help="start or complete the cluster")
    one.add_argument("--dry-run", action="store_true", help="only say which cluster would be used")
    one = commands.add_parser(
        "down", help="stop it and clean the machine; from a cluster of yours, remove what was installed"
    )
    one.add_argument("--wipe", action="store_true", help="also delete the images the cluster has stored")
    one = commands.add_parser("images", help="build changed images and hand them to the cluster")
    one.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(BELAY)}; known: {' '.join(IMAGES)}")
    commands.add_parser("references", help="print the names under which the chosen cluster knows the newest images")
    commands.add_parser("prune", help="forget images that newer ones have replaced")
    one = commands.add_parser("image-run", help="run a command inside an image on this machine")
    one.add_argument("--mount", action="append", default=[], metavar="SRC:DST[:ro]")
    one.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    one.add_argument("--workdir")
    one.add_argument("--user")
    one.add_argument("--stale", action="store_true", help="do not look for changes, take the last build")
    one.add_argument("name", metavar="NAME")
    one.epilog = "The command follows after --"
    one = commands.add_parser("api-up", help="start etcd and kube-apiserver alone, on free ports")
    one.add_argument("--state", type=Path, required=True, help="folder of this server; several may run")
    one.add_argument("--controller-manager", action="store_true")
    one = commands.add_parser("api-down", help="stop them and delete the folder")
    one.add_argument("--state", type=Path, required=True)
    commands.add_parser("status", help="what runs, versions, disk")
    commands.add_parser("traces", help="print every link, mount, table and folder that a cluster could leave behind")
    commands.add_parser("kubeconfig", help="print the path of the chosen cluster's kubeconfig")
    return top


def main(arguments: list[str]) -> int:
    """Run one command; 0 when it is done."""
    options, command = parse(arguments)
    paths, laps = from_environment(os.environ), Laps()
    try:
        return dispatch(options, command, paths, laps)
    except Problem as problem:
        print(f"belay_cluster {options.command}: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in MACHINE:
            raise
        print(f"belay_cluster {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"belay_cluster {options.command}: interrupted. The same command goes on from here; `make cluster-down` "
            "takes away what has begun.",
            file=sys.stderr,
        )
        return INTERRUPTED


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Options, and the command after `--`, which may hold anything; argparse would take its options for ours."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    options, command = parser().parse_args(arguments[:at]), arguments[at + 1 :]
    if (options.command == "image-run") != bool(command):
        parser().error("image-run, and only that, takes a command after --")
    return options, command


def dispatch(options: argparse.Namespace, command: list[str], paths: Paths, laps: Laps) -> int:
    """One command, one call."""
    match options.command:
        case "build":
            with lock(paths.cache / "build.lock", laps):
                build(paths, laps, only=options.only)
            laps("programs are up to date")
        case "up":
            up(paths, laps, dry_run=options.dry_run)
        case "down":
            with lock(paths.cache / "cluster.lock", laps):
                chosen(paths, laps).down(wipe=options.wipe)
        case "images":
            images(paths, laps, options.names or list(BELAY))
        case "references":
            print(table(pulled(chosen(paths, laps), recorded(paths))))
        case "prune":
            with lock(paths.cache / "images.lock", laps):
                prune(paths, laps)
        case "image-run":
            return image_run(
                paths, laps, options.name, command, mounts=options.mount, env=options.env,
                workdir=options.workdir, user=options.user, stale=options.stale,
            )  # fmt: skip
        case "api-up":
            api.check(options.state)
            server = api.start(paths, options.state.resolve(), controllers=options.controller_manager)
            laps(f"{server.server} is ready")
            print(f"export KUBECONFIG={server.kubeconfig}")
        case "api-down":
            api.check(options.state)
            api.stop(options.state.resolve(), remove=True)
        case "status":
            print(status.report(paths))
        case "traces":
            print("\n".join(traces.machine()))
        case "kubeconfig":
            print(chosen(paths, laps).kubeconfig())
    return 0


def chosen(paths: Paths, laps: Laps) -> Cluster:
    """The cluster the environment and the machine ask for."""
    return cluster(look(os.environ, paths), paths, laps)


def up(paths: Paths, laps: Laps, *, dry_run: bool) -> None:
    """Bring up the chosen cluster."""
    if sys.platform != "linux":
        raise Problem("what is built here runs in Linux containers: use a Linux machine, virtual or not.")
    choice = look(os.environ, paths)
    laps(f"{choice.kind} cluster: {choice.why}")
    if dry_run:
        return
    here = cluster(choice, paths, laps)
    with lock(paths.cache / "cluster.lock", laps), lock(paths.cache / "images.lock", laps):
        here.up()
    laps("the cluster is up")
    print(f"export KUBECONFIG={here.kubeconfig()}")


def images(paths: Paths, laps: Laps, names: list[str]) -> None:
    """Build what changed, and hand it to the cluster."""
    here = chosen(paths, laps)
    with lock(paths.cache / "images.lock", laps):
        references = build_images(paths, laps, here.builder(), names)
        here.give(references)
    print(table(pulled(here, references)))


def pulled(here: Cluster, references: Mapping[str, str]) -> dict[str, str]:
    """The references as the cluster's nodes know them."""
    return {name: here.pulled(ref) for name, ref in references.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
