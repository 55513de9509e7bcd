"""Fixtures of the driver's tests."""

from pathlib import Path

import pytest
from tests.unit.dev.standins import Programs


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    made = Programs(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    return made
