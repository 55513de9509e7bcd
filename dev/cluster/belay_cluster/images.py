"""Which images there are and what each is made of. Pure but for reading source files: names and hashes, no builder.

An image's tag is a hash of everything that goes into it (Dockerfile, copied files, parent's reference). So an unchanged
image is never built or imported again, a changed one has a new name, and a pod can tell which one it runs.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from belay_cluster.paths import Paths
from belay_cluster.shell import Problem

PREFIX = "localhost"
TAG_DIGITS = 12
IGNORED = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
DOCKER_BASE = "debian:trixie-slim"
PAUSE, ENVOY, ENVOY_GATEWAY = "belay-pause", "belay-envoy", "belay-envoy-gateway"


@dataclass(frozen=True, slots=True)
class Image:
    """One image the driver can build."""

    name: str
    dockerfile: str
    """Relative to the repository root."""
    parent: str | None
    """Image handed in as BASE_IMAGE; None: none is."""
    target: str | None = None
    """Stage to stop at; None: the last one."""
    context: str = "repository"
    """`repository`, or `bin` for images that hold one built binary."""
    cluster: bool = False
    """Imported into the cluster; the others are steps on the way, or for tests on this machine."""


BASE = "belay-base"
IMAGES = {
    image.name: image
    for image in (
        Image("belay-python", "dev/images/Dockerfile.python", BASE),
        Image("belay-torch", "dev/images/Dockerfile.torch", "belay-python"),
        Image("belay-torch-cuda", "dev/images/Dockerfile.torch-cuda", "belay-python"),
        Image("belay-operator", "operator/Dockerfile", "belay-python", cluster=True),
        Image("belay-logbook", "logbook/Dockerfile", "belay-python", cluster=True),
        Image("belay-trainer", "trainer_image/Dockerfile", "belay-torch", cluster=True),
        Image("belay-trainer-simulators", "trainer_image/Dockerfile", "belay-torch", target="simulators", cluster=True),
        Image("belay-trainer-cuda", "trainer_image/Dockerfile", "belay-torch-cuda", cluster=True),
        Image("belay-handler", "handlers/Dockerfile", "belay-torch", cluster=True),
        Image("belay-trainer-test", "trainer_image/Dockerfile", "belay-torch", target="test"),
        Image("belay-handler-test", "handlers/Dockerfile", "belay-torch", target="test"),
        Image(PAUSE, "dev/images/Dockerfile.pause", None, context="bin", cluster=True),
        Image(ENVOY, "dev/images/Dockerfile.envoy", BASE, context="bin", cluster=True),
        Image(ENVOY_GATEWAY, "dev/images/Dockerfile.envoy-gateway", BASE, context="bin", cluster=True),
    )
}
BELAY = ("belay-operator", "belay-trainer", "belay-handler", "belay-logbook")
INFRASTRUCTURE = (PAUSE, ENVOY, ENVOY_GATEWAY)


def with_parents(names: Iterable[str]) -> list[Image]:
    """The named images and what they build on, parents first.

    Raises: Problem for a name that is not in `IMAGES`.
    """
    ordered: dict[str, Image] = {}

    def add(name: str) -> None:
        if name == BASE or name in ordered:
            return
        if name not in IMAGES:
            raise Problem(f"no image is called {name!r}; there are {', '.join(IMAGES)}.")
        if parent := IMAGES[name].parent:
            add(parent)
        ordered[name] = IMAGES[name]

    for name in names:
        add(name)
    return list(ordered.values())


def context(paths: Paths, image: Image) -> Path:
    """Folder the Dockerfile's COPY lines refer to."""
    return paths.bin if image.context == "bin" else paths.repository


def reference(paths: Paths, image: Image, parent: str | None) -> str:
    """The image's full name, tagged by content.

    Args:
        parent: Reference of the parent image.
    Raises: Problem when the Dockerfile or a file it copies does not exist.
    """
    dockerfile = paths.repository / image.dockerfile
    if not dockerfile.exists():
        raise Problem(f"{image.name}: {image.dockerfile} does not exist.")
    text = up_to(dockerfile.read_text(), image.target)
    digest = hashlib.sha256(json.dumps([image.name, text, image.target, parent]).encode())
    root = context(paths, image)
    for source in copied(text):
        for path in files(root, source, image):
            digest.update(f"\n{path.relative_to(root)} {path.stat().st_mode & 0o111:o} ".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{PREFIX}/{image.name}:{digest.hexdigest()[:TAG_DIGITS]}"


def up_to(dockerfile: str, target: str | None) -> str:
    """The Dockerfile without the stages after `target`, which is built the same whatever they say."""
    if target is None:
        return dockerfile
    stages = re.split(r"^(?=FROM\s)", dockerfile, flags=re.IGNORECASE | re.MULTILINE)
    for count, stage in enumerate(stages, start=1):
        if re.match(rf"FROM\s+\S+\s+AS\s+{re.escape(target)}\s", stage, re.IGNORECASE):
            return "".join(stages[:count])
    raise Problem(f"no stage is called {target!r} in a Dockerfile that starts with {dockerfile[:60]!r}")


def copied(dockerfile: str) -> list[str]:
    """Sources of every COPY and ADD that come from the build context, in order."""
    sources = []
    for line in re.sub(r"\\\n", " ", dockerfile).splitlines():
        words = shlex.split(line, comments=True) if re.match(r"\s*(COPY|ADD)\s", line, re.IGNORECASE) else []
        flags = [word for word in words[1:] if word.startswith("--")]
        if words and not any(flag.startswith("--from=") for flag in flags):
            sources += [word for word in words[1:-1] if not word.startswith("--")]
    return sources


def files(root: Path, pattern: str, image: Image) -> list[Path]:
    """Files a COPY source stands for, sorted; caches of Python and its tools are not part of an image."""
    matches = sorted(root.glob(pattern))
    if not matches:
        raise Problem(f"{image.name}: {image.dockerfile} copies {pattern}, which does not exist in {root}.")
    found = []
    for match in matches:
        inside = sorted(path for path in match.rglob("*") if path.is_file()) if match.is_dir() else [match]
        found += [path for path in inside if not set(path.parts) & set(IGNORED)]
    return found


def table(references: Mapping[str, str]) -> str:
    """The references as aligned lines."""
    width = max(map(len, references), default=0)
    return "\n".join(f"{name:<{width}}  {ref}" for name, ref in references.items())
