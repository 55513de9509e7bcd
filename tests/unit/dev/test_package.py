"""What `pip install '.[client]'` installs: an application gets the client from it, so it must hold the rooms' code."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_distribution_holds_every_room() -> None:
    found = PROJECT["tool"]["setuptools"]["packages"]["find"]
    packages = {path.parent.name for room in found["where"] for path in (ROOT / room).glob("*/__init__.py")}
    assert packages == set(PROJECT["tool"]["importlinter"]["root_packages"])
