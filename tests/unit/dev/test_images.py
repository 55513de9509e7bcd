"""Tags follow contents: what changes an image changes its name, and nothing else does."""

import re
from pathlib import Path

import pytest

from belay_cluster.imagerun import abandoned
from belay_cluster.images import BELAY, IMAGES, Image, copied, reference, up_to, with_parents
from belay_cluster.paths import Paths, from_environment
from belay_cluster.prune import nameless, superseded
from belay_cluster.shell import Problem

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS deps
RUN true
FROM deps AS test
RUN pip install pytest
FROM deps
COPY --chown=1:1 room/code \\
     room/more.txt /opt/
COPY --from=test /x /y
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "room" / "code").mkdir(parents=True)
    (tmp_path / "room" / "code" / "a.py").write_text("a = 1\n")
    (tmp_path / "room" / "more.txt").write_text("more\n")
    (tmp_path / "room" / "Dockerfile").write_text(DOCKERFILE)
    return Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")


ROOM = Image("room", "room/Dockerfile", "belay-python")
TEST = Image("room-test", "room/Dockerfile", "belay-python", target="test")


def test_copied_reads_continued_lines_and_skips_other_stages() -> None:
    assert copied(DOCKERFILE) == ["room/code", "room/more.txt"]


def test_a_changed_source_changes_the_tag_and_back(paths: Paths) -> None:
    source = paths.repository / "room" / "code" / "a.py"
    before = reference(paths, ROOM, "base:1")
    source.write_text("a = 2\n")
    assert reference(paths, ROOM, "base:1") != before
    source.write_text("a = 1\n")
    assert reference(paths, ROOM, "base:1") == before


@pytest.mark.parametrize("change", ["rename", "mode", "parent", "dockerfile"])
def test_everything_else_that_matters_changes_it_too(paths: Paths, change: str) -> None:
    source = paths.repository / "room" / "code" / "a.py"
    before, parent = reference(paths, ROOM, "base:1"), "base:1"
    if change == "rename":
        source.rename(source.with_name("b.py"))
    elif change == "mode":
        source.chmod(0o755)
    elif change == "parent":
        parent = "base:2"
    else:
        (paths.repository / "room" / "Dockerfile").write_text(DOCKERFILE + "USER 1\n")
    assert reference(paths, ROOM, parent) != before


def test_caches_and_neighbours_do_not_matter(paths: Paths) -> None:
    before = reference(paths, ROOM, "base:1")
    cache = paths.repository / "room" / "code" / "__pycache__"
    cache.mkdir()
    (cache / "a.pyc").write_bytes(b"x")
    (paths.repository / "room" / "README.md").write_text("not copied")
    assert reference(paths, ROOM, "base:1") == before


def test_an_image_for_tests_ignores_the_stages_after_it(paths: Paths) -> None:
    before = reference(paths, TEST, "base:1")
    (paths.repository / "room" / "code" / "a.py").unlink()
    (paths.repository / "room" / "Dockerfile").write_text(DOCKERFILE + "COPY not-there /\n")
    assert reference(paths, TEST, "base:1") == before
    assert up_to(DOCKERFILE, "test").endswith("pytest\n")


def test_a_missing_source_is_named(paths: Paths) -> None:
    (paths.repository / "room" / "more.txt").unlink()
    with pytest.raises(Problem, match=r"room/Dockerfile copies room/more\.txt, which does not exist"):
        reference(paths, ROOM, "base:1")


def test_parents_come_first_and_once() -> None:
    names = [image.name for image in with_parents(["belay-trainer", "belay-handler"])]
    assert names == ["belay-python", "belay-torch", "belay-trainer", "belay-handler"]
    with pytest.raises(Problem, match="no image is called 'belay-trainr'"):
        with_parents(["belay-trainr"])


def test_simulators_are_built_when_named_and_not_before() -> None:
    assert "belay-trainer-simulators" not in {image.name for image in with_parents(BELAY)}
    (*_, image) = with_parents(["belay-trainer-simulators"])
    assert (image.target, image.cluster) == ("simulators", True)


def test_every_image_has_its_dockerfile() -> None:
    repository = from_environment({}).repository
    for image in IMAGES.values():
        text = (repository / image.dockerfile).read_text()
        assert up_to(text, image.target)
        assert image.parent is None or "ARG BASE_IMAGE" in text, image.dockerfile


def test_every_stage_that_installs_with_pip_knows_the_index() -> None:
    install = "--mount=type=secret,id=ca belay-pip"
    for dockerfile in {image.dockerfile for image in IMAGES.values()}:
        text = (from_environment({}).repository / dockerfile).read_text()
        for stage in re.split(r"^(?=FROM\s)", text, flags=re.MULTILINE):
            assert install not in stage or "ARG PIP_INDEX_URL" in stage.split(install)[0], dockerfile


def test_only_our_superseded_tags_are_forgotten() -> None:
    old, new, other = (
        "localhost/belay-torch:0123456789ab",
        "localhost/belay-torch:ba9876543210",
        "docker.io/x:0123456789ab",
    )
    assert superseded([old, new, other, "localhost/belay-torch:dev"], keep={new}) == [old]


def test_only_runs_whose_driver_is_gone_are_removed() -> None:
    names = ["belay-run-1", "belay-run-22", "belay-base-working-container", "belay-run-x"]
    assert abandoned(names, alive=lambda pid: pid == 1) == ["belay-run-22"]


def test_an_entry_by_digest_goes_with_the_last_name_of_its_image() -> None:
    listing = [
        "localhost/belay-torch:dev oci sha256:aa 1 MiB",
        "sha256:11 oci sha256:aa 1 MiB",
        "sha256:22 oci sha256:bb 1",
    ]
    assert nameless(listing) == ["sha256:22"]
