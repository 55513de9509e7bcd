"""Wheels, a package index and a git server, all real and small, for what a pod installs and fetches."""

import base64
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from dulwich import porcelain
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

AUTHOR = b"Tester <tester@example.com>"


def write_wheel(
    folder: Path, name: str, version: str, *, files: Mapping[str, str] | None = None, needs: Sequence[str] = ()
) -> None:
    """Put a wheel into `folder`; without files it has a module called like itself that knows its version."""
    module = name.replace("-", "_")
    about = f"{module}-{version}.dist-info"
    content = {
        **(files or {f"{module}.py": f"VERSION = {version!r}\n"}),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{about}/RECORD"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)


class _Index(SimpleHTTPRequestHandler):
    """Folders of wheels as an index, after as many answers with another status as `failures` says."""

    def __init__(self, *arguments: Any, failures: list[int], **options: Any) -> None:
        self._failures = failures
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        if self._failures:
            self.send_error(self._failures.pop())
        else:
            super().do_GET()

    def log_message(self, *arguments: Any) -> None:
        """Nothing: the tests say what they saw."""


@contextmanager
def package_index(folder: Path, *, failures: Sequence[int] = ()) -> Iterator[str]:
    """Serve `folder/<package>/<wheel>` and yield the address.

    Args:
        failures: Statuses of the first answers.
    """
    handler = partial(_Index, directory=str(folder), failures=list(failures))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Repository:
    """A repository with a file, changed by each commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        Repo.init(str(folder), mkdir=True, default_branch=b"main").close()

    def commit(self, files: Mapping[str, str]) -> str:
        """Write files and return the commit."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        porcelain.add(str(self.folder), [str(self.folder / name) for name in files])
        return porcelain.commit(str(self.folder), message=b"more", author=AUTHOR, committer=AUTHOR).decode()

    def tag(self, name: str, *, annotated: bool) -> None:
        """Tag where it stands."""
        porcelain.tag_create(str(self.folder), name, author=AUTHOR, message=b"a version", annotated=annotated)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Nothing: the tests say what they saw."""


@contextmanager
def git_server(repository: Repository, *, password: str | None = None) -> Iterator[str]:
    """Serve a repository over HTTP and yield its address; with a password only to whoever has it."""
    app = make_wsgi_chain(DictBackend({"/tasks.git": Repo(str(repository.folder))}))
    wanted = password and "Basic " + base64.b64encode(f"me:{password}".encode()).decode()

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if wanted and environ.get("HTTP_AUTHORIZATION") != wanted:
            start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
            return [b""]
        return app(environ, start_response)

    with make_server("127.0.0.1", 0, guarded, handler_class=_Quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/tasks.git"
        server.shutdown()
