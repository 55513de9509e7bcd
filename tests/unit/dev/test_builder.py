"""Building under a tag that tells the truth, while others edit the sources."""

from pathlib import Path

import pytest

from belay_cluster import builder as module
from belay_cluster.builder import Buildah
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
