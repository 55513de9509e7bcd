"""Generated files: each assertion is a trap that once cost an afternoon."""

import json
import tomllib
from pathlib import Path

import pytest

from belay_cluster import config, layout, pki, programs
from belay_cluster.paths import Paths, from_environment

PATHS = Paths(repository=Path("/repo"), cache=Path("/cache"), state=Path("/run/belay"))


def test_containerd_never_lowers_an_oom_score() -> None:
    parsed = tomllib.loads(config.containerd(PATHS, runc="/usr/sbin/runc", pause="localhost/belay-pause:1"))
    runtime = parsed["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["restrict_oom_score_adj"] is True
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == "/usr/sbin/runc"
    assert parsed["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] == "localhost/belay-pause:1"
    assert parsed["root"].startswith("/cache/")
    assert parsed["grpc"]["address"].startswith("/run/belay/")


def test_kubelet_never_collects_images_it_could_not_pull_again() -> None:
    kubelet = json.loads(config.kubelet(PATHS))
    assert kubelet["imageGCHighThresholdPercent"] == 100
    assert kubelet["makeIPTablesUtilChains"] is False
    assert kubelet["failCgroupV1"] is False
    assert kubelet["clusterDNS"] == [layout.NODE_IP]


def test_the_network_needs_no_iptables() -> None:
    plugins = json.loads(config.cni(PATHS))["plugins"]
    assert [plugin["type"] for plugin in plugins] == ["bridge"]
    assert "ipMasq" not in plugins[0]
    assert json.loads(config.kube_proxy(PATHS))["mode"] == "nftables"


def test_volumes_are_kept_on_release_and_one_class_is_default() -> None:
    items = json.loads(config.volumes(PATHS))["items"]
    volumes = [item for item in items if item["kind"] == "PersistentVolume"]
    assert len(volumes) == layout.VOLUMES
    assert {volume["spec"]["persistentVolumeReclaimPolicy"] for volume in volumes} == {"Retain"}
    assert len({volume["spec"]["hostPath"]["path"] for volume in volumes}) == layout.VOLUMES
    (storage_class,) = (item for item in items if item["kind"] == "StorageClass")
    assert storage_class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"


def test_nothing_listens_on_the_machines_own_network() -> None:
    plane = programs.local_control_plane(PATHS)
    commands = [programs.etcd(plane), programs.kube_apiserver(plane), *programs.node_programs(PATHS)]
    text = " ".join(argument for process in commands for argument in process.argv)
    assert "0.0.0.0" not in text
    assert {port.address for port in layout.PORTS} == {"127.0.0.1", layout.NODE_IP}
    assert f"--bind-address={layout.NODE_IP}" in programs.kube_apiserver(plane).argv


def test_api_only_servers_on_loopback_publish_no_endpoint() -> None:
    plane = programs.ControlPlane(
        bin=Path("/b"), pki=Path("/p"), data=Path("/d"), address="127.0.0.1", port=1, etcd_port=2, peer_port=3,
        service_accounts=False,
    )  # fmt: skip
    argv = programs.kube_apiserver(plane).argv
    assert "--endpoint-reconciler-type=none" in argv
    assert "--disable-admission-plugins=ServiceAccount" in argv
    assert not any(flag.startswith("--endpoint") for flag in programs.kube_apiserver(local()).argv)


def local() -> programs.ControlPlane:
    return programs.local_control_plane(PATHS)


def test_certificates_name_the_components_kubernetes_knows() -> None:
    subjects = {one.name: one.subject for one in pki.cluster_certificates()}
    assert subjects["kubelet"] == f"/O=system:nodes/CN=system:node:{layout.NODE}"
    assert subjects["admin"] == "/O=system:masters/CN=admin"
    names = pki.extensions(pki.apiserver(layout.NODE_IP))
    for name in ("DNS:kubernetes.default.svc", f"IP:{layout.NODE_IP}", f"IP:{layout.SERVICE_IP}", "IP:127.0.0.1"):
        assert name in names
    assert "subjectAltName" not in pki.extensions(pki.ADMIN)


def test_pki_is_made_once_and_openssl_accepts_it(tmp_path: Path) -> None:
    wanted = (pki.apiserver("127.0.0.1"), pki.ADMIN)
    pki.make(tmp_path, wanted)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    pki.make(tmp_path, wanted)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert (tmp_path / "admin.key").stat().st_mode & 0o077 == 0
    document = json.loads(pki.kubeconfig(tmp_path, "admin", "https://127.0.0.1:1"))
    assert document["users"][0]["user"].keys() == {"client-certificate-data", "client-key-data"}


@pytest.mark.parametrize(
    ("environ", "cache"),
    [
        ({"HOME": "/home/me"}, "/home/me/.cache/belay"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/big"}, "/big/belay"),
        ({"HOME": "/home/me", "BELAY_CACHE": "/bigger"}, "/bigger"),
    ],
)
def test_paths_follow_the_environment(environ: dict[str, str], cache: str) -> None:
    assert from_environment(environ).cache == Path(cache)
    assert from_environment(environ).state == Path("/run/belay")
