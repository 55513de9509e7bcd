"""Examples in docstrings of the trainer: see tests/examples.py."""

import pytest
from tests.examples import check, shown_in


@pytest.mark.parametrize("module", shown_in("trainer_image"))
def test_examples_show_what_is_so(module: str) -> None:
    check(module)
