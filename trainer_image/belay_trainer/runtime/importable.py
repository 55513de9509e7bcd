"""Folders that modules are imported from, added at the end of this process's path and of its children's."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

_OWN: list[Path] = []  # folders with the user's own modules; as much this process's as sys.path is


def add(folder: Path, *, own: bool) -> None:
    """Make what is in `folder` importable, after everything that already is.

    Args:
        own: Whether its modules are the user's own, and so worth naming where one is not found.
    """
    path = str(folder)
    if path not in sys.path:
        sys.path.append(path)
    inherited = os.environ.get("PYTHONPATH", "")
    if path not in inherited.split(os.pathsep):
        os.environ["PYTHONPATH"] = f"{inherited}{os.pathsep}{path}" if inherited else path
    if own and folder not in _OWN:
        _OWN.append(folder)


def own_modules() -> list[str]:
    """Return the top-level modules and packages of the user's own, in alphabetical order."""
    return sorted({name for folder in _OWN for name in modules(folder)})


def is_own(path: Path) -> bool:
    """Whether a file is one of the user's own."""
    return any(path.is_relative_to(folder) for folder in _OWN)


def modules(folder: Path) -> Iterator[str]:
    """Yield the modules of a folder, and those of its folders that have modules in them."""
    for path in folder.iterdir():
        if path.suffix == ".py" and path.stem.isidentifier() and path.is_file():
            yield path.stem
        elif path.name.isidentifier() and path.is_dir() and any(path.glob("*.py")):
            yield path.name
