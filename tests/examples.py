"""Examples in docstrings are tests as well: what a reader is shown has to be so."""

import doctest
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def shown_in(*rooms: str) -> list[str]:
    """Return the modules below some folders whose docstrings have examples."""
    return [
        ".".join(path.relative_to(ROOT / room).with_suffix("").parts).removesuffix(".__init__")
        for room in rooms
        for path in sorted((ROOT / room).rglob("*.py"))
        if re.search(r"^ +>>> ", path.read_text(), re.MULTILINE)
    ]


def check(module: str) -> None:
    """Run the examples of a module. Raises: AssertionError when one shows something else, or none is found."""
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted
    assert not result.failed, f"{result.failed} of {result.attempted} examples; see what is printed"
