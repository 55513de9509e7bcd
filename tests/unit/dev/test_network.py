"""Making the network on a machine, and taking it away: all of what is ours, and nothing else."""

from pathlib import Path

import pytest
from tests.unit.dev.standins import Programs

from belay_cluster import layout, network
from belay_cluster.network import _lines
from belay_cluster.paths import Paths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A machine whose kernel settings and CNI results are files of the test's."""
    monkeypatch.setattr(network, "SYS", tmp_path / "sys")
    monkeypatch.setattr(network, "CNI_RESULTS", (tmp_path / "results",))
    for name in network.SYSCTLS[:2]:
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text("0\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "state").mkdir()
    return Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")


@pytest.fixture
def pods(programs: Programs) -> None:
    """A pod has a namespace, and kube-proxy a table."""
    programs.answer("ip netns list", "cni-1234 (id: 0)\nmine\n")
    programs.answer("nft list tables", "table ip kube-proxy\ntable inet filter\n")


@pytest.mark.usefixtures("pods")
def test_where_up_has_never_been_pods_and_rules_are_somebody_elses(paths: Paths, programs: Programs) -> None:
    network.down(paths)
    assert programs.calls("delete") == []


@pytest.mark.usefixtures("pods")
def test_down_takes_away_what_up_has_brought_and_no_more(paths: Paths, programs: Programs) -> None:
    network.up(paths)
    assert {(network.SYS / name).read_text().strip() for name in network.SYSCTLS[:2]} == {"1"}
    network.down(paths)
    assert programs.calls("delete ") == [
        "ip netns delete cni-1234",
        "nft delete table ip kube-proxy",
        f"ip link delete {layout.BRIDGE}",
    ]
    assert {(network.SYS / name).read_text().strip() for name in network.SYSCTLS[:2]} == {"0"}


def test_a_bridge_that_an_interrupted_up_left_gets_its_address(paths: Paths, programs: Programs) -> None:
    programs.answer(f"ip link show {layout.BRIDGE}", "3: belay0: <BROADCAST,MULTICAST> state DOWN")
    network.up(paths)
    assert programs.calls("ip link add") == []
    assert programs.calls(f"ip addr replace {layout.NODE_IP}/24")
    assert programs.calls(f"ip link set {layout.BRIDGE} up")


def test_a_machine_without_the_program_has_nothing_of_it_to_remove() -> None:
    assert _lines(["echo", "one"]) == ["one"]
    assert _lines(["no-such-program", "list"]) == []
