"""What kind is told. It cannot run here; its flags were tried on kind 0.33 itself, without Docker behind it."""

from pathlib import Path

import pytest
from tests.unit.dev.standins import Programs, listing, named

from belay_cluster import kube
from belay_cluster.builder import Docker
from belay_cluster.kind import KindCluster
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem


@pytest.fixture
def cluster(tmp_path: Path, programs: Programs) -> KindCluster:
    """No cluster yet; one that comes has a GatewayClass."""
    programs.answer("get gatewayclasses", listing(named("theirs")))
    paths = Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")
    return KindCluster(paths, Laps())


def flags(cluster: KindCluster) -> str:
    return f"--name=belay --kubeconfig={cluster.paths.kind_kubeconfig}"


def test_it_is_created_with_a_kubeconfig_of_its_own(cluster: KindCluster, programs: Programs) -> None:
    cluster.up()
    assert programs.calls("kind ") == ["kind get clusters", f"kind create cluster --wait=120s {flags(cluster)}"]
    assert {f"--kubeconfig={cluster.paths.kind_kubeconfig}" in call for call in programs.calls("kubectl")} == {True}


def test_one_that_is_there_is_used(cluster: KindCluster, programs: Programs) -> None:
    programs.answer("kind get clusters", "belay\nother\n")
    cluster.up()
    assert programs.calls("kind create") == []
    assert programs.calls("kind export") == [f"kind export kubeconfig {flags(cluster)}"]


def test_one_that_does_not_answer_is_told(cluster: KindCluster, programs: Programs) -> None:
    programs.answer("kind get clusters", "belay\n")
    programs.answer("readyz", status=1)
    with pytest.raises(Problem, match="does not answer: `make cluster-down` deletes it"):
        cluster.up()


def test_docker_that_does_not_answer_is_told_in_kinds_words(cluster: KindCluster, programs: Programs) -> None:
    programs.answer("kind get clusters", "ERROR: Cannot connect to the Docker daemon", status=1)
    with pytest.raises(Problem, match="(?s)listing kind's clusters failed.*Cannot connect to the Docker daemon"):
        cluster.up()


def test_kind_is_built_where_it_is_missing(
    cluster: KindCluster, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    (programs.folder / "kind").rename(programs.folder / "later")
    built: list[str] = []

    def build(paths: Paths, laps: Laps, *, only: str) -> None:
        built.append(only)
        (programs.folder / "later").rename(programs.folder / "kind")

    monkeypatch.setattr(kube, "build", build)
    cluster.up()
    assert built == ["kind"]
    assert programs.calls("kind create")


def test_images_are_loaded_in_one_go_and_only_into_a_cluster(cluster: KindCluster, programs: Programs) -> None:
    cluster.give({"a": "localhost/a:1", "b": "localhost/b:2"})
    assert programs.calls("kind load") == []
    programs.answer("kind get clusters", "belay\n")
    cluster.give({"a": "localhost/a:1", "b": "localhost/b:2"})
    assert programs.calls("kind load") == ["kind load docker-image --name=belay localhost/a:1 localhost/b:2"]


def test_what_the_node_has_is_not_loaded_again(cluster: KindCluster, programs: Programs) -> None:
    programs.answer("kind get clusters", "belay\n")
    programs.answer("exec belay-control-plane ctr", "localhost/a:1\ndocker.io/x:1\n")
    cluster.give({"a": "localhost/a:1", "b": "localhost/b:2"})
    assert programs.calls("kind load") == ["kind load docker-image --name=belay localhost/b:2"]
    programs.answer("exec belay-control-plane ctr", "localhost/a:1\nlocalhost/b:2\n")
    cluster.give({"a": "localhost/a:1", "b": "localhost/b:2"})
    assert len(programs.calls("kind load")) == 1


def test_images_keep_their_names_and_come_from_docker(cluster: KindCluster) -> None:
    assert cluster.pulled("localhost/a:1") == "localhost/a:1"
    assert isinstance(cluster.builder(), Docker)


def test_a_cluster_of_another_name_is_not_ours(cluster: KindCluster, programs: Programs) -> None:
    programs.answer("kind get clusters", "belay-2\n")
    assert not cluster.exists()


def test_down_deletes_it_and_its_kubeconfig(cluster: KindCluster, programs: Programs) -> None:
    cluster.paths.cache.mkdir()
    cluster.paths.kind_kubeconfig.touch()
    cluster.down(wipe=True)
    assert programs.calls("kind delete") == [f"kind delete cluster {flags(cluster)}"]
    assert not cluster.paths.kind_kubeconfig.exists()
