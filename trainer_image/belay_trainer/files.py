"""Files that are whole or absent, and checkpoints that carry their digest in their name.

A checkpoint is `<step>-<sha256>.ckpt`: name and content appear in one rename, so there is no moment at which one lies
about the other. Whoever reads it checks the digest; a torn file is then skipped, not resumed from.
"""

import errno
import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from belay_api.wire import CheckpointRef

_NAME = re.compile(r"^(\d{12,})-([0-9a-f]{64})\.ckpt$")


def write_atomically(path: Path, *parts: bytes) -> None:
    """Write a file that survives a power cut whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")  # one writer per folder: what a killed one left is written over
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        with suppress(OSError):  # half a file on a full volume would keep it full
            temporary.unlink()
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Make durable what a file holds, or renames in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what network file systems say that have no such call, older SMB for one
            raise
    finally:
        os.close(descriptor)


def reference(step: int, *parts: bytes) -> CheckpointRef:
    """Return the reference of a checkpoint whose bytes are `parts`, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return CheckpointRef(step=step, sha256=digest.hexdigest(), size=sum(map(len, parts)))


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


def write_checkpoint(folder: Path, ref: CheckpointRef, *parts: bytes) -> None:
    """Keep a checkpoint in place of any other of its step."""
    write_atomically(checkpoint_path(folder, ref), *parts)
    delete_checkpoints(folder, ref.step, but=ref.sha256)


def read_checkpoint(folder: Path, ref: CheckpointRef) -> bytes:
    """Return a checkpoint's bytes, not yet checked against its digest."""
    return checkpoint_path(folder, ref).read_bytes()


def outlived(refs: list[CheckpointRef], *, step: int, keep: int) -> list[CheckpointRef]:
    """Return which of `refs`, newest first, the checkpoint of `step` replaces: all but the newest `keep` up to it.

    Later ones are of a life that got further and could not be taken up: they stay until they are overtaken, and may
    not push out what the next pod can resume from.
    """
    return [ref for ref in refs if ref.step <= step][keep:]


def delete_checkpoints(folder: Path, step: int, *, but: str | None = None) -> None:
    """Remove the checkpoints of one step, except the one with digest `but`."""
    for ref in list_checkpoints(folder):
        if ref.step == step and ref.sha256 != but:
            checkpoint_path(folder, ref).unlink(missing_ok=True)
