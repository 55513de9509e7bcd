"""Files that are whole or absent, and checkpoints that carry their digest in their name.

A checkpoint is `<step>-<sha256>.ckpt`: name and content appear in one rename, so there is no moment at which one lies
about the other. Whoever reads it checks the digest; a torn file is then skipped, not resumed from.
"""

import hashlib
import os
import re
from pathlib import Path

from belay_api.wire import CheckpointRef

_NAME = re.compile(r"^(\d{12,})-([0-9a-f]{64})\.ckpt$")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that survives a power cut whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")  # one writer per folder: a leftover of a killed one is overwritten
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reference(step: int, blob: bytes) -> CheckpointRef:
    """Return the reference of a checkpoint."""
    return CheckpointRef(step=step, sha256=hashlib.sha256(blob).hexdigest(), size=len(blob))


def checkpoint_path(folder: Path, ref: CheckpointRef) -> Path:
    """Return where a checkpoint lies in `folder`."""
    return folder / f"{ref.step:012d}-{ref.sha256}.ckpt"


def list_checkpoints(folder: Path) -> list[CheckpointRef]:
    """Return the checkpoints in `folder`, newest step first; not yet checked against their digests."""
    found = []
    for path in folder.glob("*.ckpt"):
        if match := _NAME.match(path.name):
            found.append(CheckpointRef(step=int(match[1]), sha256=match[2], size=path.stat().st_size))
    return sorted(found, key=lambda ref: ref.step, reverse=True)


def delete_checkpoints(folder: Path, step: int, *, but: str | None = None) -> None:
    """Remove the checkpoints of one step, except the one with digest `but`."""
    for ref in list_checkpoints(folder):
        if ref.step == step and ref.sha256 != but:
            checkpoint_path(folder, ref).unlink(missing_ok=True)
