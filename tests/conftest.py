"""What all tests share: flags, and which cases a property meets.

`--refresh` rewrites the expected half of YAML cases instead of comparing it.
"""

from contextlib import suppress

import pytest

with suppress(ImportError):  # the images of trainer and handler have no Hypothesis, and no test of theirs wants it
    from hypothesis import settings

    # The same cases in every run, so that what passed before a push passes after it. `make test-long` looks for others.
    settings.register_profile("repeat", derandomize=True, database=None)
    settings.register_profile("explore", derandomize=False)
    settings.load_profile("repeat")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--refresh", action="store_true", help="rewrite `want` in YAML cases; read that diff line by line")


@pytest.fixture(scope="session")
def refresh(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--refresh"))
