"""Zip files of strangers: looked over before anything in them is read, and never unpacked under names of their own."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from belay_trainer.errors import BadConfiguration
from belay_trainer.importing.found import Source

LONGEST_NAME = 255
LARGEST = 4 << 30  # bytes that all members may have together, unpacked


@contextmanager
def opened(source: Source) -> Iterator[zipfile.ZipFile]:
    """Open a zip file after looking over all its members.

    Raises: BadConfiguration for a damaged one, and for members that no honest archive has; in the block as well.
    """
    try:
        with zipfile.ZipFile(source.path) as archive:
            _look_over(source.name, archive)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise BadConfiguration(f"{source.name} is a damaged zip file ({error}): copy or download it again.") from error


def copy_member(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    """Write a member's bytes to `target`, wherever its name points; their checksum is compared."""
    with archive.open(name) as member, target.open("wb") as file:
        shutil.copyfileobj(member, file)


def _look_over(name: str, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    for member in members:
        reason = _suspicious(member)
        if reason:
            raise BadConfiguration(f"{name} is not opened: its member {member.filename!r} {reason}.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadConfiguration(f"{name} is not opened: it has two members named {twice!r}.")
    size = sum(member.file_size for member in members)
    if size > LARGEST:
        raise BadConfiguration(f"{name} is not opened: it unpacks to {size} bytes, at most {LARGEST} are taken.")


def _suspicious(member: zipfile.ZipInfo) -> str:
    name = PurePosixPath(member.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename or ":" in member.filename:
        return "leads out of the archive"
    if len(member.filename) > LONGEST_NAME:
        return f"has a name of more than {LONGEST_NAME} characters"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.flag_bits & 1:
        return "is encrypted"
    return ""
