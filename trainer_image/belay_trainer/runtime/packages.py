"""Packages that pip installs into a folder of their own when a pod starts.

What the image has stays as it is, whatever a package asks for: another NumPy or Gymnasium beside it would be a trainer
that nobody has tested, and a torch from an index brings gigabytes. So pip first says what is missing beside all that is
installed (the resolution), and installs exactly that afterwards. `pip install --target` alone would bring everything
anew.

pip says of an index that does not answer what it says of a package that does not exist. Its log tells them apart.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from belay_trainer.errors import BadConfiguration, Interrupted, TrainerError, Unreachable
from belay_trainer.runtime.waiting import FIRST_WAIT_S, PATIENCE_S, until_reached
from belay_trainer.stop import Stop

_PIP = (sys.executable, "-m", "pip", "install")
_QUIETLY = ("--no-input", "--no-color", "--disable-pip-version-check", "--progress-bar=off", "--retries=2")
_LOOK_S = 0.1
_WORDS = 300  # characters of pip's own: status keeps 512 of a message

_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]*")
_FETCHED_NOT = re.compile(r"Could not fetch URL \S+: (.*?) - skipping")
_ABSENT = re.compile(r"\b(404|410) Client Error")
_DENIED = re.compile(r"\b(401|403) Client Error|HTTP error (401|403)")
_UNTRUSTED = re.compile(r"certificate verify failed|CERTIFICATE_VERIFY_FAILED")
_AWAY = re.compile(r"Max retries exceeded|Connection aborted|connection broken|[Rr]ead timed out|HTTP error 5\d\d")
_BUILDING = re.compile(r"Added (\S+) from .* to build tracker")
# What a build said last stands before the line that it failed; each line begins with its time.
_NOT_BUILT = re.compile(r"^\S+ (.*)\n\S+ +ERROR: .* exited with \d+$", re.MULTILINE)
_USERS_FAULT = re.compile(
    r"No matching distribution found|ResolutionImpossible|conflicting dependencies|Invalid requirement|Invalid wheel|"
    r"requires a different Python|not a supported wheel|subprocess-exited-with-error|metadata-generation-failed|"
    r"Failed to build|Could not build wheels|failed-wheel-build"
)


def install(
    packages: Sequence[str],
    folder: Path,
    *,
    work_dir: Path,
    stop: Stop,
    patience_s: float = PATIENCE_S,
    first_wait_s: float = FIRST_WAIT_S,
) -> dict[str, str]:
    """Install packages and what they need into `folder`; return the version of everything installed there, by name.

    Args:
        packages: Each with its exact version, `name==1.2`.
        work_dir: For what is downloaded, as long as this takes.
    Raises: BadConfiguration when they cannot be had, in pip's words; Unreachable, Interrupted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work_dir, prefix="pip-") as name:
        return until_reached(
            lambda: _install(packages, folder, Path(name), stop),
            what="the pod waits for its packages",
            stop=stop,
            patience_s=patience_s,
            first_wait_s=first_wait_s,
        )


def _install(packages: Sequence[str], folder: Path, scratch: Path, stop: Stop) -> dict[str, str]:
    constraints, report, missing = scratch / "image.txt", scratch / "report.json", scratch / "missing.txt"
    constraints.write_text("\n".join(_installed()))
    _run(["--dry-run", f"--report={report}", f"--constraint={constraints}", *packages], scratch, stop)
    found = json.loads(report.read_text())["install"]
    if found:
        missing.write_text("\n".join(_pinned(found)))
        _run(["--no-deps", f"--target={folder}", f"--requirement={missing}"], scratch, stop)
    return {one["metadata"]["name"]: one["metadata"]["version"] for one in found}


def _installed() -> Iterator[str]:
    """Yield what the image has as pip's constraints; of two copies the first on the path counts, as in an import."""
    seen = set()
    for one in distributions():
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"] or "").lower()
        if name and name not in seen and _VERSION.fullmatch(one.version or ""):
            seen.add(name)
            yield f"{name}=={one.version}"


def _pinned(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield requirements for exactly the files that pip has chosen."""
    for one in found:
        digest = one["download_info"]["archive_info"]["hashes"]["sha256"]
        yield f"{one['metadata']['name']}=={one['metadata']['version']} --hash=sha256:{digest}"


def _run(arguments: Sequence[str], scratch: Path, stop: Stop) -> None:
    """Run pip install. Raises: as `install`."""
    log, said = scratch / "log", scratch / "said"
    log.unlink(missing_ok=True)
    # Both calls read the same files. Whoever has a cache of his own, on a claim for instance, keeps it.
    environment = {"PIP_CACHE_DIR": str(scratch / "cache"), "PIP_ROOT_USER_ACTION": "ignore", **os.environ}
    with said.open("wb") as output:
        pip = subprocess.Popen(
            [*_PIP, *_QUIETLY, f"--log={log}", *arguments], stdout=output, stderr=output, env=environment
        )
        while pip.poll() is None:
            if stop.wait(_LOOK_S):
                pip.terminate()
                pip.wait()
                raise Interrupted("asked to stop while packages were installed; the next pod installs them.")
    if pip.returncode:
        raise fault(said.read_text(errors="replace"), log.read_text(errors="replace") if log.exists() else "")


def fault(said: str, log: str) -> TrainerError:
    """Return whose fault it is that pip failed.

    Args:
        said: What it printed.
        log: Its log, which also has what it tried.
    """
    words = _build_failure(log) or _own_words(said)
    reasons = [cause for cause in _FETCHED_NOT.findall(log) if not _ABSENT.search(cause)]
    cause = _one_line(reasons[0]) if reasons else words
    if _DENIED.search(cause) or _DENIED.search(said):
        return BadConfiguration(
            f"runtime.packages: the index wants a password, or another one: {cause}. Take PIP_INDEX_URL, with user and "
            "password in it, from a Secret in runtime.env."
        )
    if _UNTRUSTED.search(cause):
        return BadConfiguration(
            f"runtime.packages: the certificate of the index is not trusted here: {cause}. Mount the one that signed "
            "it with runtime.volumes, and name the file in PIP_CERT in runtime.env."
        )
    if reasons or _AWAY.search(said):
        return Unreachable(f"runtime.packages: the index does not answer: {cause}.")
    return _refusal(said, words)


def _refusal(said: str, words: str) -> TrainerError:
    """Return whose fault it is where every index has answered."""
    if "No module named pip" in said:
        return BadConfiguration("runtime.packages: this image has no pip to install them: set another runtime.image.")
    if "(constraint)" in said:
        return BadConfiguration(
            f"runtime.packages: pip says: {words}. What the image has (constraint) stays as it is: ask for versions "
            "that go with it, or name an image of your own in runtime.image."
        )
    if _USERS_FAULT.search(said):
        return BadConfiguration(
            f"runtime.packages: pip says: {words}. Correct name or version; what is in no index goes into runtime.code."
        )
    return TrainerError(f"runtime.packages: pip failed: {words}.")


def _own_words(said: str) -> str:
    """Return what pip says is wrong, from its first error on and without its general advice."""
    lines = said.splitlines()
    first = next((at for at, line in enumerate(lines) if re.match(r"\s*(ERROR|error):", line)), 0)
    kept: list[str] = []
    for line in lines[first:]:
        if line.startswith("To fix this you could") or "ResolutionImpossible" in line or "[notice]" in line:
            break
        kept.append(re.sub(r"^\s*(ERROR|error):\s*", "", line).strip().rstrip(".:"))
    return _one_line("; ".join(filter(None, kept)))


def _build_failure(log: str) -> str | None:
    """Return which package could not be built, and the last word of what built it; None: none had to be."""
    failed = _NOT_BUILT.search(log)
    if failed is None:
        return None
    building = _BUILDING.findall(log, 0, failed.start())
    return _one_line(f"{building[-1] if building else 'a package'} cannot be built: {failed[1].strip().rstrip('.')}")


def _one_line(text: str) -> str:
    line = re.sub(r"//[^/@\s]*@", "//", " ".join(text.split()))  # no password of an address
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"
