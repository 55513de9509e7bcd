"""The command line: parse, call one function, turn a Problem into one message."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from belay_cluster import api, foreign, status
from belay_cluster.builder import Buildah, build_images, choose_builder
from belay_cluster.choose import Choice, Kind, look
from belay_cluster.gobuild import build
from belay_cluster.imagerun import image_run
from belay_cluster.images import BELAY, IMAGES, table
from belay_cluster.local import LocalCluster
from belay_cluster.paths import Paths, from_environment
from belay_cluster.prune import prune
from belay_cluster.shell import Laps, Problem, lock
from belay_cluster.teardown import down


def parser() -> argparse.ArgumentParser:
    """Every command and its options."""
    top = argparse.ArgumentParser(prog="belay_cluster", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("build", help="build the pinned Go programs")
    one.add_argument("--only", choices=("all", "api", "helm", "kwok"), default="all")
    one = commands.add_parser("up", help="start or complete the cluster")
    one.add_argument("--dry-run", action="store_true", help="only say which cluster would be used")
    one = commands.add_parser("down", help="stop it and clean the machine")
    one.add_argument("--wipe", action="store_true", help="also delete the images the cluster has stored")
    one = commands.add_parser("images", help="build changed images and hand them to the cluster")
    one.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(BELAY)}; known: {' '.join(IMAGES)}")
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
            return up(paths, laps, look(os.environ, paths), dry_run=options.dry_run)
        case "down":
            choice = look(os.environ, paths)
            with lock(paths.cache / "cluster.lock", laps):
                if choice.kind is Kind.LOCAL:
                    down(paths, laps, wipe=options.wipe)
                else:
                    foreign.down(choice, laps)
        case "images":
            images(paths, laps, look(os.environ, paths), options.names or list(BELAY))
        case "prune":
            with lock(paths.cache / "images.lock", laps):
                prune(paths, laps)
        case "image-run":
            return image_run(
                paths, laps, options.name, command, mounts=options.mount, env=options.env,
                workdir=options.workdir, user=options.user, stale=options.stale,
            )  # fmt: skip
        case "api-up":
            server = api.start(paths, options.state.resolve(), controllers=options.controller_manager)
            laps(f"{server.server} is ready")
            print(f"export KUBECONFIG={server.kubeconfig}")
        case "api-down":
            api.stop(options.state.resolve(), remove=True)
        case "status":
            print(status.report(paths))
        case "kubeconfig":
            print(look(os.environ, paths).kubeconfig or Path.home() / ".kube" / "config")
    return 0


def up(paths: Paths, laps: Laps, choice: Choice, *, dry_run: bool) -> int:
    """Bring up the chosen cluster."""
    laps(f"{choice.kind} cluster: {choice.why}")
    if dry_run:
        return 0
    with lock(paths.cache / "cluster.lock", laps):
        if choice.kind is Kind.LOCAL:
            with lock(paths.cache / "images.lock", laps):
                LocalCluster(paths, laps).up()
        else:
            foreign.up(paths, laps, choice)
    laps("the cluster is up")
    if choice.kubeconfig:
        print(f"export KUBECONFIG={choice.kubeconfig}")
    return 0


def images(paths: Paths, laps: Laps, choice: Choice, names: list[str]) -> None:
    """Build, and hand to the cluster if it runs."""
    with lock(paths.cache / "images.lock", laps):
        if choice.kind is not Kind.LOCAL:
            references = build_images(paths, laps, choose_builder(paths, laps), names)
            foreign.load(choice, references, laps)
        else:
            builder = Buildah(paths, laps)
            references = build_images(paths, laps, builder, names)
            cluster = LocalCluster(paths, laps)
            if cluster.processes.pid("containerd") is not None:
                cluster.containerd.import_images(builder.store, list(references.values()), laps)
    print(table(references))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
