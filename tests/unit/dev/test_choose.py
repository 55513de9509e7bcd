"""Which cluster is used: what the user names wins, then kind, then the one built here."""

from pathlib import Path

import pytest

from belay_cluster.choose import Kind, choose

LOCAL = Path("/run/belay/admin.kubeconfig")


@pytest.mark.parametrize(
    ("environ", "docker", "kind", "want"),
    [
        ({}, False, False, Kind.LOCAL),
        ({}, True, False, Kind.LOCAL),
        ({}, True, True, Kind.KIND),
        ({"KUBECONFIG": "/home/me/config"}, True, True, Kind.EXISTING),
        ({"BELAY_KUBECONFIG": "/home/me/config"}, False, False, Kind.EXISTING),
        ({"BELAY_CONTEXT": "staging"}, False, False, Kind.EXISTING),
        ({"KUBECONFIG": str(LOCAL)}, False, False, Kind.LOCAL),
        ({"KUBECONFIG": ""}, False, False, Kind.LOCAL),
    ],
)
def test_choose(environ: dict[str, str], docker: bool, kind: bool, want: Kind) -> None:
    assert choose(environ, LOCAL, docker=docker, kind=kind).kind is want


def test_belay_kubeconfig_outranks_kubeconfig() -> None:
    choice = choose({"KUBECONFIG": "/a", "BELAY_KUBECONFIG": "/b"}, LOCAL, docker=False, kind=False)
    assert choice.kubeconfig == Path("/b")
    assert "BELAY_KUBECONFIG" in choice.why


def test_a_context_without_a_file_uses_kubectls_own() -> None:
    choice = choose({"BELAY_CONTEXT": "staging"}, LOCAL, docker=False, kind=False)
    assert (choice.kubeconfig, choice.context) == (None, "staging")
