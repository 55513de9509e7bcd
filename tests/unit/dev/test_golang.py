"""Which Go builds: the machine's own where it is new enough, else one that it fetches."""

import os
import stat
from pathlib import Path

import pytest

from belay_cluster import golang
from belay_cluster.shell import Laps, Problem

NEW = "go version go1.99.0 linux/amd64"
OLD = "go version go1.19.8 linux/amd64"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, says: str, fetches: str = "exit 1") -> Path:
    """Put a `go` of our own before everything else on the path."""
    go = folder / "go"
    answers = {"version": f"echo '{says}'", "env": "printf 'linux\\nriscv64\\n'", "mod": fetches}
    cases = "\n".join(f"{word}) {does} ;;" for word, does in answers.items())
    go.write_text(f'#!/bin/sh\necho "$@" >>{folder}/asked\ncase $1 in\n{cases}\nesac\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return go


def test_a_go_that_is_new_enough_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = install(tmp_path, monkeypatch, says=NEW)
    assert golang.program(Laps()) == go
    assert (tmp_path / "asked").read_text() == "version\n"


def test_an_old_one_fetches_the_toolchain_the_modules_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "toolchain"
    for name in ("bin/go", "pkg/tool/linux_riscv64/compile"):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch(0o444)
    install(tmp_path, monkeypatch, says=OLD, fetches=f"""echo '{{"Dir": "{root}"}}'""")

    assert golang.program(Laps()) == root / "bin/go"
    wanted = max(golang.version(path.read_text()) for path in golang.CLUSTER.glob("*/go.mod"))
    module = f"golang.org/toolchain@v0.0.1-go{'.'.join(map(str, wanted))}.linux-riscv64"
    assert (tmp_path / "asked").read_text().splitlines()[-1] == f"mod download -json {module}"
    assert all(path.stat().st_mode & stat.S_IXUSR for path in root.rglob("*") if path.is_file())


def test_where_none_can_be_had_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, says=OLD)
    with pytest.raises(Problem, match=r"too old for the pinned Kubernetes.*Install Go 1\.\d+\.\d+ or newer"):
        golang.program(Laps())


def test_versions_compare_as_numbers() -> None:
    assert golang.version("module x\n\ngo 1.26.8\n") == (1, 26, 8)
    assert golang.version("go 1.9") < golang.version("go 1.26.8")
    with pytest.raises(Problem, match="no Go version"):
        golang.version("module x")
