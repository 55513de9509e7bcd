"""Stand-ins for kubectl, Helm, kind, Docker, ip and nft: they note how they were called and answer from a table.

What the driver says to programs that cannot run here is all there is to test of it; the flags themselves were tried on
the real programs.
"""

import json
import sys
from pathlib import Path

SCRIPT = """\
#!{python}
import json, os, re, sys
folder = os.path.dirname(os.path.abspath(__file__))
line = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
stdin = sys.stdin.read() if "-f -" in line else ""
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps([line, stdin]) + "\\n")
for pattern, text, status in json.load(open(folder + "/answers")):
    if re.search(pattern, line):
        (sys.stderr if status else sys.stdout).write(text)
        sys.exit(status)
"""
NAMES = ("kubectl", "helm", "kind", "docker", "ip", "nft")


class Programs:
    """The stand-ins' folder, first in PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._answers: list[tuple[str, str, int]] = []
        folder.mkdir()
        for name in NAMES:
            (folder / name).write_text(SCRIPT.format(python=sys.executable))
            (folder / name).chmod(0o755)
        self._write()

    def answer(self, pattern: str, text: object = "", *, status: int = 0) -> None:
        """Answer calls that match; what was said last counts. Other than text is given as JSON."""
        said = text if isinstance(text, str) else json.dumps(text)
        self._answers.insert(0, (pattern, said, status))
        self._write()

    def calls(self, pattern: str = "") -> list[str]:
        """Command lines so far that hold the words."""
        return [line for line, _ in self._calls() if pattern in line]

    def stdin(self, pattern: str) -> str:
        """What the one call that holds the words was given."""
        (found,) = [text for line, text in self._calls() if pattern in line]
        return found

    def _calls(self) -> list[tuple[str, str]]:
        log = self.folder / "calls"
        return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []

    def _write(self) -> None:
        (self.folder / "answers").write_text(json.dumps(self._answers))


def listing(*items: object) -> dict[str, object]:
    """What `kubectl get -o json` answers."""
    return {"items": list(items)}


def named(name: str, **parts: object) -> dict[str, object]:
    """An object with a name."""
    return {"metadata": {"name": name}, **parts}
