"""Making the network on a machine, and taking it away: all of what is ours, and nothing else."""

from pathlib import Path

import pytest
from tests.unit.dev.standins import Programs

from belay_cluster import layout, network, traces
from belay_cluster.paths import Paths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A machine whose kernel settings, links, namespaces and CNI results are files of the test's."""
    monkeypatch.setattr(network, "SYS", tmp_path / "sys")
    monkeypatch.setattr(traces, "LINKS", tmp_path / "net")
    monkeypatch.setattr(traces, "NETNS", tmp_path / "netns")
    monkeypatch.setattr(traces, "CNI_RESULTS", (tmp_path / "results",))
    for name in network.SYSCTLS[:2]:
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text("0\n")
    for folder in ("results", "state", "netns", "net"):
        (tmp_path / folder).mkdir()
    return Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")


def test_down_takes_away_what_up_has_brought_and_no_more(paths: Paths, programs: Programs) -> None:
    programs.answer("nft list tables", "table ip kube-proxy\ntable inet filter\n")
    for name in ("eth0", "veth1", layout.BRIDGE):
        (traces.LINKS / name).mkdir()
    (traces.LINKS / "veth1" / "master").symlink_to(f"../{layout.BRIDGE}")
    for name in ("cni-1234", "mine"):
        (traces.NETNS / name).touch()
    network.up(paths)
    assert {(network.SYS / name).read_text().strip() for name in network.SYSCTLS[:2]} == {"1"}
    network.clear()
    network.restore(paths)
    assert programs.calls("delete ") == [
        "ip link delete veth1",
        f"ip link delete {layout.BRIDGE}",
        "ip netns delete cni-1234",
        "nft delete table ip kube-proxy",
    ]
    assert {(network.SYS / name).read_text().strip() for name in network.SYSCTLS[:2]} == {"0"}


def test_a_bridge_that_an_interrupted_up_left_gets_its_address(paths: Paths, programs: Programs) -> None:
    programs.answer(f"ip link show {layout.BRIDGE}", "3: belay0: <BROADCAST,MULTICAST> state DOWN")
    network.up(paths)
    assert programs.calls("ip link add") == []
    assert programs.calls(f"ip addr replace {layout.NODE_IP}/24")
    assert programs.calls(f"ip link set {layout.BRIDGE} up")
