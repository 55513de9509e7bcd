"""Where the modules of `runtime.code` lie in this pod, and what says which ones they are."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from belay_api.artifact import file_sha256
from belay_api.code import CodeSpec
from belay_trainer.errors import BadConfiguration
from belay_trainer.runtime.importable import modules
from belay_trainer.stop import Stop

_LISTED = 10  # names in a message


@dataclass(frozen=True, slots=True)
class Code:
    """Modules of the user's own."""

    folder: Path  # they are imported from here
    digest: str  # `git:<commit>`, or `sha256:<hex>` of the files


def find_code(spec: CodeSpec, *, mount: Path, work_dir: Path, credentials: Path, stop: Stop) -> Code:
    """Return the modules that `spec` asks for; those of a git repository are fetched.

    Raises: BadConfiguration where there are none; Unreachable, Interrupted.
    """
    if spec.git is not None:
        from belay_trainer.runtime.git import fetch  # noqa: PLC0415 - only who needs it waits for its library

        commit = fetch(spec.git, work_dir / "code", credentials=credentials, stop=stop)
        return Code(_folder(work_dir / "code", spec.git.path, field="runtime.code.git"), f"git:{commit}")
    if spec.pvc is not None:
        folder = _folder(mount, spec.pvc.path, field="runtime.code.pvc")
        return Code(folder, files_digest(folder, ending=".py"))  # a claim may hold anything, of any size
    if spec.config_map is not None:
        return Code(_folder(mount, None, field="runtime.code.configMap"), files_digest(mount))
    raise BadConfiguration("runtime.code names no place: set configMap, pvc or git.")


def files_digest(folder: Path, *, ending: str = "") -> str:
    """Return `sha256:<hex>` of the files below `folder` whose names have that ending, and of their names.

    What is hidden does not count: a mounted ConfigMap keeps its versions in folders whose names begin with a dot.
    """
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        if path.name.endswith(ending):
            digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _files(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        yield from (path for name in files if (path := Path(at, name)).is_file() and not name.startswith("."))


def _folder(root: Path, path: str | None, *, field: str) -> Path:
    """Return a folder with modules in it. Raises: BadConfiguration naming what is there instead."""
    folder = root if path is None else root / path
    if not folder.is_dir():
        there = sorted(one.name for one in root.iterdir() if one.is_dir() and not one.name.startswith("."))
        raise BadConfiguration(f"{field}.path: there is no folder {path}. Folders there: {_named(there)}.")
    if not any(modules(folder)):
        there = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
        raise BadConfiguration(
            f"{field}: no Python module lies {'there' if path is None else f'in {path}'}, but {_named(there)}. Modules "
            "are files such as my_task.py, or folders with such files."
        )
    return folder


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "nothing"
