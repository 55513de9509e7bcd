"""Every test that `docs/reference/compared.md` names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/compared.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:unit|api|e2e|bench)/[\w./-]+(?:::\w+)?)`", PAGE)))


@pytest.mark.parametrize("name", NAMED)
def test_it_is_there(name: str) -> None:
    path, _, test = name.partition("::")
    found = ROOT / path if path.startswith("bench/") else ROOT / "tests" / path
    assert found.exists()
    assert not test or f"def {test}(" in found.read_text()


def test_each_row_names_one() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| hazard")]
    assert len(rows) > 40
    assert [row for row in rows if not re.search(r"\| `(unit|api|e2e|bench)/[^|]*\|$", row)] == []
