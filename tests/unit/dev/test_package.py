"""What `pip install '.[client]'` installs: an application gets the client from it, so it must hold the rooms' code."""

import tomllib
from pathlib import Path

import yaml

from belay_api.version import VERSION

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_distribution_holds_every_room() -> None:
    found = PROJECT["tool"]["setuptools"]["packages"]["find"]
    packages = {path.parent.name for room in found["where"] for path in (ROOT / room).glob("*/__init__.py")}
    assert packages == set(PROJECT["tool"]["importlinter"]["root_packages"])


def test_belay_has_one_version() -> None:
    """What an artifact says that made it is what the chart installed."""
    chart = yaml.safe_load((ROOT / "charts/belay/Chart.yaml").read_text())
    assert {PROJECT["project"]["version"], chart["version"], str(chart["appVersion"])} == {VERSION}
