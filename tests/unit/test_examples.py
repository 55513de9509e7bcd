"""Examples in docstrings: see tests/examples.py."""

import pytest
from tests.examples import check, shown_in


@pytest.mark.parametrize(
    "module", shown_in("api", "operator", "logbook", "client", "handlers", "dev/cluster", "dev/demo")
)
def test_examples_show_what_is_so(module: str) -> None:
    check(module)
