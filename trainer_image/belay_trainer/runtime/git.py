"""One pinned revision of a git repository, fetched without its history where the server allows that.

There is no git program in the image: the library speaks git's protocol over HTTP. Submodules are left out.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from dulwich.client import HttpGitClient, HTTPUnauthorized
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.index import build_index_from_tree
from dulwich.object_store import peel_sha
from dulwich.objects import Commit
from dulwich.repo import Repo

from belay_api.code import GitCode
from belay_api.words import nearest
from belay_trainer.errors import BadConfiguration, Interrupted, TrainerError, Unreachable
from belay_trainer.runtime.waiting import FIRST_WAIT_S, PATIENCE_S, until_reached
from belay_trainer.stop import Stop

TIMEOUT_S = 60.0  # without a byte
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TAGS, _BRANCHES = b"refs/tags/", b"refs/heads/"
_PEELED = b"^{}"
_REFUSED = re.compile(r"unexpected http resp (401|403|410)\b")

Refs = Mapping[bytes, bytes | None]


def fetch(
    git: GitCode,
    folder: Path,
    *,
    credentials: Path,
    stop: Stop,
    patience_s: float = PATIENCE_S,
    first_wait_s: float = FIRST_WAIT_S,
) -> str:
    """Put the files of the revision into `folder`, which does not exist, and return its commit.

    Args:
        credentials: Folder with the files `username` and `password`; absent: the repository is public.
    Raises: BadConfiguration where there is no such repository, revision or access; Unreachable, Interrupted.
    """
    client = HttpGitClient(git.url, timeout=TIMEOUT_S, **_credentials(git, credentials))
    return until_reached(
        lambda: _fetch(client, git, folder, stop),
        what="the pod waits for the repository of its code",
        stop=stop,
        patience_s=patience_s,
        first_wait_s=first_wait_s,
    )


def _fetch(client: HttpGitClient, git: GitCode, folder: Path, stop: Stop) -> str:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="git-") as name, Repo.init_bare(name) as repo:
        try:
            wanted = _resolve(git, client.get_refs(b"").refs)
            _download(client, repo, wanted, stop)
        except (HTTPUnauthorized, NotGitRepository, GitProtocolError) as error:
            raise _translated(git, error) from error
        if wanted not in repo.object_store:
            raise BadConfiguration(
                f"runtime.code.git.revision: {git.revision} is no commit that a branch or tag of {git.url} has. Push "
                "it, or name another one."
            )
        commit = peel_sha(repo.object_store, wanted)[1]
        if not isinstance(commit, Commit):
            raise BadConfiguration(f"runtime.code.git.revision: {git.revision} names no commit: name one, or a tag.")
        folder.mkdir()
        build_index_from_tree(str(folder), str(Path(name, "index")), repo.object_store, commit.tree)
        return commit.id.decode()


def _download(client: HttpGitClient, repo: Repo, wanted: bytes, stop: Stop) -> None:
    def progress(_: bytes) -> None:
        if stop.asked:
            raise Interrupted("asked to stop while runtime.code was fetched; the next pod fetches it.")

    def all_of(refs: Refs, depth: int | None = None) -> Sequence[bytes]:
        return [sha for name, sha in refs.items() if sha is not None and not name.endswith(_PEELED)]

    try:
        client.fetch(b"", repo, determine_wants=lambda refs, depth=None: [wanted], progress=progress, depth=1)
    except GitProtocolError:
        # Some servers deliver only what a branch or tag points at: the commit is then looked for in all their history.
        client.fetch(b"", repo, determine_wants=all_of, progress=progress)


def _resolve(git: GitCode, refs: Refs) -> bytes:
    """Return what to ask for: a commit, or what a tag points at. Raises: BadConfiguration."""
    if _COMMIT.fullmatch(git.revision):
        return git.revision.encode()
    tagged = refs.get(_TAGS + git.revision.encode())
    if tagged is not None:
        return tagged
    head = refs.get(_BRANCHES + git.revision.encode())
    if head is not None:
        raise BadConfiguration(
            f"runtime.code.git.revision: {git.revision} is a branch of {git.url}, and moves: seeds would train with "
            f"different code. It is at {head.decode()} now: name that commit, or a tag."
        )
    tags = [name.removeprefix(_TAGS).decode() for name in refs if name.startswith(_TAGS) and not name.endswith(_PEELED)]
    near = nearest(git.revision, tags)
    raise BadConfiguration(
        f"runtime.code.git.revision: {git.url} has no tag {git.revision}{f', but {near}' if near else ''}. Name a "
        "tag, or a commit with all its 40 digits."
    )


def _translated(git: GitCode, error: Exception) -> TrainerError:
    """Return our error for the library's."""
    if isinstance(error, NotGitRepository):
        return BadConfiguration(
            f"runtime.code.git.url: there is no git repository at {git.url}, or it does not show itself to strangers. "
            "Correct the address, or name a Secret with username and password in code.git.credentials."
        )
    if isinstance(error, HTTPUnauthorized) or _REFUSED.search(str(error)):
        if git.credentials is None:
            return BadConfiguration(
                f"runtime.code.git: {git.url} wants a password. Name a Secret with username and password in "
                "code.git.credentials; a token is a password."
            )
        return BadConfiguration(
            f"runtime.code.git.credentials: {git.url} does not take what Secret {git.credentials} has. Put another "
            "username and password into it; a token is a password, and must be allowed to read the repository."
        )
    return Unreachable(f"runtime.code.git.url: {git.url} does not answer as git does: {error}.")


def _credentials(git: GitCode, folder: Path) -> dict[str, str]:
    if git.credentials is None:
        return {}
    try:
        return {name: (folder / name).read_text().strip() for name in ("username", "password")}
    except OSError as error:
        raise BadConfiguration(
            f"runtime.code.git.credentials: Secret {git.credentials} has no key {Path(str(error.filename)).name}: it "
            "needs username and password, as the type kubernetes.io/basic-auth has them."
        ) from error
