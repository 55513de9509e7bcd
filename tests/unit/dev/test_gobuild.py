"""When a program counts as built, and which Kubernetes the modules ask for."""

from pathlib import Path

import pytest

from belay_cluster import gobuild
from belay_cluster.paths import Paths, from_environment

TARGET = gobuild.Target("x", "tools", ("./cmd/x",), ("x",), frozenset())


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    module = tmp_path / "dev" / "cluster" / "tools"
    (module / "cmd" / "x").mkdir(parents=True)
    for name in ("go.mod", "go.sum", "cmd/x/main.go"):
        (module / name).write_text(name)
    found = Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")
    found.bin.mkdir(parents=True)
    (found.bin / "x").touch()
    (found.bin / ".x.stamp").write_text(gobuild.fingerprint(module, TARGET))
    return found


def test_unchanged_is_current(paths: Paths) -> None:
    assert gobuild.current(paths, TARGET)


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "cmd/x/main.go"])
def test_a_changed_file_is_not(paths: Paths, name: str) -> None:
    (paths.cluster / "tools" / name).write_text("other")
    assert not gobuild.current(paths, TARGET)


def test_a_deleted_binary_is_not(paths: Paths) -> None:
    (paths.bin / "x").unlink()
    assert not gobuild.current(paths, TARGET)


def test_the_pinned_kubernetes_is_told_its_version() -> None:
    text = (from_environment({}).cluster / "tools" / "go.mod").read_text()
    flags = gobuild.version_flags(text)
    assert "gitVersion=v1." in flags
    assert "gitMajor=1 " in flags
    assert gobuild.version_flags("module other\n") == ""
