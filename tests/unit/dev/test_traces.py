"""What a cluster leaves on a machine is found, kind by kind, and what is somebody else's is not touched."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.dev.standins import Programs

from belay_cluster import layout, network, teardown, traces
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem

POD = "ab" * 32  # a container's id
# What CNI keeps of a pod, cut down: the bridge, the link on the machine's side, the one inside.
RESULT = {
    "kind": "cniCacheV1",
    "networkName": layout.CNI_NETWORK,
    "result": {
        "interfaces": [
            {"name": layout.BRIDGE},
            {"name": "veth5d0c1a2b"},
            {"name": "eth0", "sandbox": "/var/run/netns/cni-1"},
        ]
    },
}


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Programs) -> Paths:
    """A machine whose links, namespaces, cgroups and processes are files of the test's, with one cluster's folders."""
    places = {"LINKS": "net", "NETNS": "netns", "CGROUPS": "cgroup", "PROC": "proc", "LOG_LINKS": "log", "RUNC": "runc"}
    for constant, name in places.items():
        monkeypatch.setattr(traces, constant, tmp_path / name)
        (tmp_path / name).mkdir()
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(traces, "CNI_RESULTS", (tmp_path / "results",))
    monkeypatch.setattr(traces, "FIXED", (str(tmp_path / "results"), str(tmp_path / "netns")))
    monkeypatch.setattr(traces, "SOCKETS", ())
    monkeypatch.setattr(teardown, "PATIENCE", timedelta(seconds=0.3))
    (tmp_path / "proc" / "mounts").write_text("")
    paths = Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")
    paths.state.mkdir()
    paths.data.mkdir(parents=True)
    programs.answer("nft list tables", "table inet filter\n")
    return paths


def process(pid: int, *, cgroup: str) -> None:
    folder = traces.PROC / str(pid)
    folder.mkdir()
    (folder / "cgroup").write_text(f"9:name=systemd:/\n4:memory:{cgroup}\n0::/\n")


def container(paths: Paths, name: str) -> None:
    (paths.state / "run" / "containerd" / "io.containerd.runtime.v2.task" / "k8s.io" / name).mkdir(parents=True)


def test_of_a_clean_machine_nothing_is_ours(paths: Paths) -> None:
    for folder in (traces.CNI_RESULTS[0], traces.NETNS):
        (folder / "somebody's").touch()
    for link in ("eth0", "veth0"):
        (traces.LINKS / link).mkdir()
    (traces.LINKS / "veth0" / "master").symlink_to("../docker0")
    process(7, cgroup=f"/kubepods/burstable/pod1/{POD}")
    assert traces.ours(paths) == []


def test_a_pods_link_is_found_without_its_bridge(paths: Paths) -> None:
    """One `make cluster-down` after a bench left two: their bridge was gone, their namespaces were not."""
    (traces.LINKS / "veth5d0c1a2b").mkdir()
    (traces.LINKS / "veth0").mkdir()
    (traces.CNI_RESULTS[0] / f"{layout.CNI_NETWORK}-{POD}-eth0").write_text(json.dumps(RESULT))
    (traces.CNI_RESULTS[0] / f"{layout.CNI_NETWORK}-{POD[:-1]}-eth0").write_text('{"torn')
    assert traces.links() == ["veth5d0c1a2b"]


def test_a_link_goes_before_the_bridge_it_hangs_on(paths: Paths) -> None:
    for name in (layout.BRIDGE, "veth1"):
        (traces.LINKS / name).mkdir()
    (traces.LINKS / "veth1" / "master").symlink_to(f"../../virtual/net/{layout.BRIDGE}")
    assert traces.links() == ["veth1", layout.BRIDGE]


def test_each_kind_is_found(paths: Paths, programs: Programs) -> None:
    programs.answer("nft list tables", "table ip kube-proxy\ntable ip6 kube-proxy\ntable inet filter\n")
    (traces.NETNS / "cni-1").touch()
    (traces.LOG_LINKS / "pod.log").symlink_to(paths.data / "podlogs" / "0.log")
    (traces.LOG_LINKS / "other.log").symlink_to("/var/log/pods/0.log")
    (traces.PROC / "mounts").write_text(f"tmpfs {paths.data}/kubelet/x tmpfs rw 0 0\ntmpfs /x tmpfs rw 0 0\n")
    (traces.CGROUPS / "cpu" / "kubepods" / "pod1").mkdir(parents=True)
    container(paths, POD)
    (traces.RUNC / POD).mkdir()
    (traces.RUNC / "somebody's").mkdir()
    process(12, cgroup=f"/kubepods/burstable/pod1/{POD}")
    process(13, cgroup=f"/kubepods/burstable/pod2/{'cd' * 32}")
    assert traces.ours(paths) == [
        "namespace cni-1",
        "nft table ip kube-proxy",
        "nft table ip6 kube-proxy",
        f"mount {paths.data}/kubelet/x",
        "process 12",
        f"cgroup {traces.CGROUPS}/cpu/kubepods/pod1",
        f"folder {traces.RUNC}/{POD}",
        f"file {traces.LOG_LINKS}/pod.log",
        f"folder {traces.CNI_RESULTS[0]}",
    ]


def test_what_stays_is_told_and_the_next_down_tries_again(paths: Paths) -> None:
    (traces.LINKS / "veth1").mkdir()  # the stand-in for `ip` removes nothing
    (traces.LINKS / "veth1" / "master").symlink_to(f"../{layout.BRIDGE}")
    network.settings_before(paths).touch()
    with pytest.raises(Problem, match=r"not as it was before:\n  - link veth1\n"):
        teardown.down(paths, Laps(), wipe=True)
    assert network.settings_before(paths).exists()


def test_where_up_has_never_been_everything_is_somebody_elses(paths: Paths, programs: Programs) -> None:
    programs.answer("nft list tables", "table ip kube-proxy\n")
    (traces.NETNS / "cni-1").touch()
    (traces.CGROUPS / "kubepods").mkdir()
    teardown.down(paths, Laps(), wipe=True)
    assert programs.calls("delete") == []
    assert (traces.CGROUPS / "kubepods").exists()


def test_down_leaves_nothing_of_a_cluster_that_died(paths: Paths, programs: Programs) -> None:
    (traces.CGROUPS / "kubepods" / "burstable" / "pod1").mkdir(parents=True)
    container(paths, POD)
    (traces.RUNC / POD).mkdir()
    (traces.RUNC / POD / "state.json").touch()
    (traces.LOG_LINKS / "pod.log").symlink_to(paths.data / "podlogs" / "0.log")
    (traces.CNI_RESULTS[0] / f"{layout.CNI_NETWORK}-{POD}-eth0").write_text("{}")
    network.settings_before(paths).touch()
    teardown.down(paths, Laps(), wipe=True)
    assert traces.ours(paths) == []
    assert not traces.CNI_RESULTS[0].exists()
    assert not (traces.CGROUPS / "kubepods").exists()
    assert list(traces.RUNC.iterdir()) == []
    assert not paths.state.exists()


def test_the_snapshot_tells_every_kind_whosever_it_is(paths: Paths) -> None:
    (traces.LINKS / "veth0").mkdir()
    (traces.NETNS / "mine").touch()
    (traces.PROC / "mounts").write_text("tmpfs /a\\040b tmpfs rw 0 0\n")
    (traces.PROC / "net").mkdir()
    (traces.PROC / "net" / "route").write_text("Iface\tDestination\n" + "eth0\t00000000\n")
    found = traces.machine()
    assert {"link veth0", "namespace mine", "nft table inet filter", "mount /a b", "route 00000000 eth0"} <= set(found)


def test_mounts_are_unmounted_deepest_first_and_neighbours_stay() -> None:
    mounts = """\
overlay /run/belay/run/containerd/a overlay rw 0 0
tmpfs /run/belay/run/containerd/a/b tmpfs rw 0 0
tmpfs /run/belay-other/x tmpfs rw 0 0
tmpfs /cache/cluster/kubelet/with\\040space tmpfs rw 0 0
"""
    found = traces.mounts_under(traces.mount_points(mounts), (Path("/run/belay"), Path("/cache/cluster")))
    assert found == [
        "/cache/cluster/kubelet/with space",
        "/run/belay/run/containerd/a/b",
        "/run/belay/run/containerd/a",
    ]
