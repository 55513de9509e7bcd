"""The local cluster: what is asked before it is built, and what is never deleted."""

from pathlib import Path

import pytest

from belay_cluster import local, preflight, teardown
from belay_cluster.local import LocalCluster
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")
    found.data.mkdir(parents=True)
    found.state.mkdir()
    return found


def test_what_the_machine_lacks_is_said_before_minutes_of_building(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def check(paths: Paths) -> None:
        done.append("check")
        raise Problem("a port is in use")

    monkeypatch.setattr(preflight, "privileges", lambda: None)
    monkeypatch.setattr(preflight, "check", check)
    monkeypatch.setattr(local, "install_packages", lambda laps: done.append("tools to check with"))
    monkeypatch.setattr(local, "build", lambda paths, laps: done.append("build"))
    with pytest.raises(Problem, match="a port is in use"):
        LocalCluster(paths, Laps()).up()
    assert done == ["tools to check with", "check"]


def test_a_state_folder_with_other_things_in_it_is_not_used_and_not_deleted(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the tear-down of this very machine has begun")

    monkeypatch.setattr(teardown, "Processes", never)
    (paths.state / "pki").mkdir()
    assert [one for one in preflight.space(paths) if "BELAY_STATE to a folder" in one] == []
    (paths.state / "thesis").touch()
    assert [one for one in preflight.space(paths) if "holds thesis" in one] != []
    with pytest.raises(Problem, match="holds thesis, so it is not deleted"):
        teardown.down(paths, Laps(), wipe=True)
    assert (paths.state / "thesis").exists()
    assert paths.data.exists()
