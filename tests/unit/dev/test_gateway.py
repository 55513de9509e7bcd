"""Installing Envoy Gateway, also after an installation that was killed half-way."""

from pathlib import Path

import pytest
from tests.unit.dev.standins import Programs, listing

from belay_cluster import gateway
from belay_cluster.images import ENVOY, ENVOY_GATEWAY
from belay_cluster.kube import Kube
from belay_cluster.paths import REPOSITORY, Paths
from belay_cluster.shell import Laps

IMAGES = {ENVOY: "localhost/belay-envoy:1", ENVOY_GATEWAY: "localhost/belay-envoy-gateway:1"}


def install(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verbs Helm was told."""
    monkeypatch.setattr(gateway, "chart", lambda paths, image: "chart")
    programs.answer("get gatewayclasses", listing())
    paths = Paths(repository=REPOSITORY, cache=tmp_path / "cache", state=tmp_path / "state")
    gateway.install(paths, Laps(), Kube(paths, tmp_path / "kubeconfig"), IMAGES)
    return [" ".join(call.split()[1:3]) for call in programs.calls("helm ")]


def test_it_is_installed_in_one_go(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install(tmp_path, programs, monkeypatch) == ["list --pending", "upgrade --install"]


def test_one_that_was_killed_half_way_makes_room(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.answer("helm list --pending", "eg\n")
    assert install(tmp_path, programs, monkeypatch) == ["list --pending", "uninstall eg", "upgrade --install"]
