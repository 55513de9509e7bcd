"""Which cluster is used: what the user names wins, then kind, then the one built here."""

from pathlib import Path

import pytest

from belay_cluster.choose import Kind, choose, cluster
from belay_cluster.kind import KindCluster
from belay_cluster.local import LocalCluster
from belay_cluster.own import OwnCluster
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps

PATHS = Paths(repository=Path("/repo"), cache=Path("/cache"), state=Path("/run/belay"))
LOCAL, KIND = str(PATHS.kubeconfig), str(PATHS.kind_kubeconfig)


@pytest.mark.parametrize(
    ("environ", "docker", "want"),
    [
        ({}, False, Kind.LOCAL),
        ({}, True, Kind.KIND),
        ({"KUBECONFIG": ""}, False, Kind.LOCAL),
        ({"KUBECONFIG": "/home/me/config"}, True, Kind.OWN),
        ({"BELAY_KUBECONFIG": "/home/me/config"}, False, Kind.OWN),
        ({"BELAY_CONTEXT": "staging"}, False, Kind.OWN),
        ({"KUBECONFIG": LOCAL}, False, Kind.LOCAL),
        ({"KUBECONFIG": LOCAL}, True, Kind.LOCAL),
        ({"KUBECONFIG": KIND}, True, Kind.KIND),
        ({"KUBECONFIG": "/home/me/config", "BELAY_KUBECONFIG": LOCAL}, True, Kind.LOCAL),
    ],
)
def test_choose(environ: dict[str, str], docker: bool, want: Kind) -> None:
    assert choose(environ, PATHS, docker=docker, local=False).kind is want


@pytest.mark.parametrize(("environ", "want"), [({}, Kind.LOCAL), ({"KUBECONFIG": "/home/me/config"}, Kind.OWN)])
def test_a_docker_daemon_started_later_does_not_hide_the_local_cluster(environ: dict[str, str], want: Kind) -> None:
    assert choose(environ, PATHS, docker=True, local=True).kind is want


def test_what_the_user_says_of_their_cluster_is_kept() -> None:
    said = {"KUBECONFIG": "/a", "BELAY_KUBECONFIG": "/b:/c", "REGISTRY": "r/me", "PULL_AUTH": "/auth.json"}
    wanted = choose(said, PATHS, docker=False, local=False).wanted
    assert wanted is not None
    assert (wanted.kubeconfig, wanted.context) == ("/b:/c", None)
    assert (wanted.registry, wanted.pull_auth) == ("r/me", Path("/auth.json"))
    assert "BELAY_KUBECONFIG" in wanted.why


def test_a_context_without_a_file_uses_kubectls_own() -> None:
    wanted = choose({"BELAY_CONTEXT": "staging"}, PATHS, docker=False, local=False).wanted
    assert wanted is not None
    assert (wanted.kubeconfig, wanted.context) == (None, "staging")


@pytest.mark.parametrize(
    ("environ", "docker", "want"),
    [({}, False, LocalCluster), ({}, True, KindCluster), ({"KUBECONFIG": "/x"}, True, OwnCluster)],
)
def test_each_kind_has_its_class(environ: dict[str, str], docker: bool, want: type, tmp_path: Path) -> None:
    paths = Paths(repository=Path("/repo"), cache=tmp_path / "cache", state=tmp_path / "state")
    made = cluster(choose(environ, paths, docker=docker, local=False), paths, Laps())
    assert isinstance(made, want)
