"""One logbook process for all tests that do not kill it; each test takes a namespace of its own."""

from collections.abc import Iterator

import httpx
import pytest
from tests.unit.logbook.support import Process, new_namespace


@pytest.fixture(scope="session")
def logbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("logbook")).start()
    yield process
    process.stop()


@pytest.fixture
def namespace() -> str:
    return new_namespace()


@pytest.fixture
def client(logbook: Process, namespace: str) -> Iterator[httpx.Client]:
    with logbook.client(namespace) as client:
        yield client
