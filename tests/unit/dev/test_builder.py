"""Building under a tag that tells the truth, while others edit the sources."""

from pathlib import Path

import pytest

from belay_cluster import builder as module
from belay_cluster.builder import Buildah, Docker
from belay_cluster.images import Image
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem

IMAGE = Image("room", "Dockerfile", None)


class Editor(Buildah):
    """A builder during whose first builds somebody saves a file; it takes notes instead of building."""

    def __init__(self, paths: Paths, edits: int) -> None:
        super().__init__(paths, Laps())
        self.edits = edits
        self.built: list[str] = []
        self.untagged: list[str] = []

    def build(self, image: Image, ref: str, parent: str | None) -> None:
        self.built.append(ref)
        if len(self.built) <= self.edits:
            (self.paths.repository / "code").write_text(f"edit {len(self.built)}")

    def untag(self, ref: str) -> None:
        self.untagged.append(ref)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY code /\n")
    (tmp_path / "code").write_text("first")
    return Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")


def test_built_again_when_a_source_changed_meanwhile(paths: Paths) -> None:
    editor = Editor(paths, edits=1)
    ref = module.ensure(paths, Laps(), editor, IMAGE, None, present=set())
    assert editor.built == [*editor.untagged, ref]
    assert len(editor.untagged) == 1


def test_it_gives_up_on_sources_that_never_rest(paths: Paths) -> None:
    editor = Editor(paths, edits=99)
    with pytest.raises(Problem, match="sources changed during each of 3 builds"):
        module.ensure(paths, Laps(), editor, IMAGE, None, present=set())
    assert editor.untagged == editor.built


def test_what_is_present_is_not_built(paths: Paths) -> None:
    editor = Editor(paths, edits=0)
    ref = module.ensure(paths, Laps(), editor, IMAGE, None, present=set())
    assert module.ensure(paths, Laps(), editor, IMAGE, None, present={ref}) == ref
    assert editor.built == [ref]


def test_docker_builds_with_secrets_and_without_attestations(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(module, "run", lambda argv, *, env=None, **rest: said.append((argv, env or {})))
    Docker(paths, Laps()).build(IMAGE, "localhost/room:1", "localhost/base:1")
    build, tag = said
    assert build[0][:4] == ["docker", "build", "-t", "localhost/room:1"]
    assert build[0][build[0].index("--build-arg") :][:2] == ["--build-arg", "BASE_IMAGE=localhost/base:1"]
    assert build[0][-1] == str(paths.repository)
    assert build[1] == {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    assert tag[0] == ["docker", "tag", "localhost/room:1", "localhost/room:dev"]


def test_a_bare_machine_gets_the_programs_of_its_builder(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An apt-get that does nothing but note its words; there is no Docker, no buildah and no debootstrap."""
    (tmp_path / "apt-get").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert isinstance(module.builder_here(paths, Laps()), Buildah)
    assert "install -y --no-install-recommends buildah debootstrap" in (tmp_path / "called").read_text()

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Problem, match="use sudo"):
        module.builder_here(paths, Laps())
