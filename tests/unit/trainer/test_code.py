"""Modules of the user's own: a mounted ConfigMap, a folder of a claim, a revision from a git server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from runtime_support import Repository, git_server
from trainer_support import free_port

from belay_api.code import CodeSpec
from belay_trainer.errors import BadConfiguration, Unreachable
from belay_trainer.runtime.code import Code, files_digest, find_code
from belay_trainer.runtime.git import fetch
from belay_trainer.stop import Stop


def config_map(folder: Path, version: str, **files: str) -> Path:
    """Lay files out as a kubelet does: links to a folder that is exchanged as a whole."""
    kept = folder / f"..{version}"
    kept.mkdir(parents=True)
    (folder / "..data").symlink_to(kept.name)
    for stem, text in files.items():
        (kept / f"{stem}.py").write_text(text)
        (folder / f"{stem}.py").symlink_to(Path("..data", f"{stem}.py"))
    return folder


def plain(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for stem, text in files.items():
        (folder / f"{stem}.py").write_text(text)
    return folder


def test_a_digest_says_which_files_and_what_is_in_them(tmp_path: Path) -> None:
    first = files_digest(config_map(tmp_path / "a", "2026_05_04", tasks="x = 1\n", more=""))
    assert first == files_digest(config_map(tmp_path / "b", "2027_01_01", tasks="x = 1\n", more=""))
    assert first == files_digest(plain(tmp_path / "c", tasks="x = 1\n", more=""))
    assert first != files_digest(plain(tmp_path / "d", tasks="x = 2\n", more=""))
    assert first != files_digest(plain(tmp_path / "e", tusks="x = 1\n", more=""))
    assert first != files_digest(plain(tmp_path / "f", tasks="x = 1\n"))


def found(spec: dict[str, object], *, mount: Path, work: Path) -> Code:
    asked = CodeSpec.model_validate(spec)
    return find_code(asked, mount=mount, work_dir=work, credentials=work / "credentials", stop=Stop())


def test_of_a_claim_only_modules_count(tmp_path: Path) -> None:
    claim = plain(tmp_path / "claim" / "src", tasks="x = 1\n").parent
    before = found({"pvc": {"claim": "work", "path": "src"}}, mount=claim, work=tmp_path)
    assert before.folder == claim / "src"
    (claim / "src" / "recording.bin").write_bytes(bytes(1000))
    assert found({"pvc": {"claim": "work", "path": "src"}}, mount=claim, work=tmp_path) == before


def test_a_folder_that_is_missing_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    claim = plain(tmp_path / "claim" / "src", tasks="").parent
    with pytest.raises(BadConfiguration, match=r"runtime\.code\.pvc\.path: there is no folder scr.*src"):
        found({"pvc": {"claim": "work", "path": "scr"}}, mount=claim, work=tmp_path)


@pytest.mark.parametrize("spec", [{"pvc": {"claim": "work"}}, {"configMap": {"name": "my-task"}}])
def test_a_place_without_modules_is_told_with_what_is_there(tmp_path: Path, spec: dict[str, object]) -> None:
    (tmp_path / "my-task.txt").write_text("")
    with pytest.raises(BadConfiguration, match=r"no Python module lies there, but my-task\.txt"):
        found(spec, mount=tmp_path, work=tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def history(repository: Repository) -> dict[str, str]:
    """Commits by what is special about them; the tag v1.0 is at the first one, the branch at the last."""
    commits = {"tagged": repository.commit({"src/tasks.py": "VERSION = 1\n"})}
    repository.tag("v1.0", annotated=True)
    repository.tag("plain-1.0", annotated=False)
    commits["between"] = repository.commit({"src/tasks.py": "VERSION = 2\n"})
    commits["newest"] = repository.commit({"src/tasks.py": "VERSION = 3\n"})
    return commits


@pytest.fixture
def url(repository: Repository, history: dict[str, str]) -> Iterator[str]:
    with git_server(repository) as address:
        yield address


def fetched(url: str, revision: str, at: Path, **more: str) -> str:
    spec = CodeSpec.model_validate({"git": {"url": url, "revision": revision, **more}})
    assert spec.git is not None
    return fetch(spec.git, at / "code", credentials=at / "credentials", stop=Stop(), patience_s=0)


@pytest.mark.parametrize(
    ("revision", "wanted"),
    [("v1.0", ("tagged", 1)), ("plain-1.0", ("tagged", 1)), (None, ("between", 2)), (None, ("newest", 3))],
    ids=["annotated tag", "plain tag", "commit between", "newest commit"],
)
def test_the_pinned_revision_is_fetched(
    url: str, history: dict[str, str], tmp_path: Path, revision: str | None, wanted: tuple[str, int]
) -> None:
    commit, version = wanted
    assert fetched(url, revision or history[commit], tmp_path) == history[commit]
    assert (tmp_path / "code" / "src" / "tasks.py").read_text() == f"VERSION = {version}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code", "repository"], "no history is kept"


def test_modules_are_imported_from_the_path_in_the_repository(
    url: str, history: dict[str, str], tmp_path: Path
) -> None:
    spec = {"git": {"url": url, "revision": "v1.0", "path": "src"}}
    made = found(spec, mount=tmp_path / "none", work=tmp_path)
    assert made == Code(tmp_path / "code" / "src", f"git:{history['tagged']}")


def test_a_branch_is_refused_with_the_commit_to_name_instead(url: str, history: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=f"main is a branch.*moves.*It is at {history['newest']} now"):
        fetched(url, "main", tmp_path)


REFUSED = {
    "another tag": ("v1.O", r"has no tag v1\.O, but v1\.0\."),
    "a short commit": ("abc1234", "a commit with all its 40 digits"),
    "a commit nobody pushed": ("ab" * 20, "is no commit that a branch or tag of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_revision_that_is_not_there_is_told(url: str, tmp_path: Path, case: str) -> None:
    revision, words = REFUSED[case]
    with pytest.raises(BadConfiguration, match=rf"runtime\.code\.git\.revision: .*{words}"):
        fetched(url, revision, tmp_path)


def test_a_repository_that_is_not_there_is_told(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="there is no git repository at"):
        fetched(url.replace("tasks", "tusks"), "v1.0", tmp_path)


def test_a_private_repository_opens_to_its_secret(
    repository: Repository, history: dict[str, str], tmp_path: Path
) -> None:
    secret = tmp_path / "credentials"
    secret.mkdir()
    (secret / "username").write_text("me\n")
    with git_server(repository, password="open") as url:
        with pytest.raises(BadConfiguration, match="Secret deploy has no key password"):
            fetched(url, "v1.0", tmp_path, credentials="deploy")
        (secret / "password").write_text("shut")
        with pytest.raises(BadConfiguration, match="does not take what Secret deploy has"):
            fetched(url, "v1.0", tmp_path, credentials="deploy")
        with pytest.raises(BadConfiguration, match="wants a password. Name a Secret"):
            fetched(url, "v1.0", tmp_path)
        (secret / "password").write_text("open\n")
        assert fetched(url, "v1.0", tmp_path, credentials="deploy") == history["tagged"]


def test_a_server_that_is_away_is_worth_another_pod(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"runtime\.code\.git\.url: .* does not answer as git does"):
        fetched(f"http://127.0.0.1:{free_port()}/tasks.git", "v1.0", tmp_path)
