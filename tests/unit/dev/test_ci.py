"""`.ci/run` ends with one line of sums, and never says less than its exit status."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / ".ci" / "run"
# Says what the tests say, and ends as they do; `make cluster-down` ends with the third word. `make -s traces` tells the
# next of a list of machines each time.
MAKE = """#!/bin/sh
case "$*" in
"-s traces") sed -n '1{{/./p}}' {machines}; sed -i 1d {machines}; exit 0 ;;
test) cat {said}; exit {status} ;;
*) exit {down} ;;
esac
"""


def run(
    tmp_path: Path, said: str, *, status: int = 0, down: int = 0, machines: str = "", **programs: str
) -> tuple[int, str]:
    """Exit status and last line."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(SCRIPT, tmp_path / ".ci" / "run")
    (tmp_path / "said").write_text(said)
    (tmp_path / "machines").write_text(machines)
    (tmp_path / "bin").mkdir()
    make = MAKE.format(said=tmp_path / "said", machines=tmp_path / "machines", status=status, down=down)
    for name, text in {"make": make, **programs}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run([tmp_path / ".ci" / "run"], env=path, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("said", "status", "want"),
    [
        ("41 passed, 1 skipped, 2 warnings in 2.10s\n12 passed in 0.10s\n", 0, "53 passed, 0 failed"),
        ("41 passed in 125.30s (0:02:05)\n== 3 passed, 1 xfailed, 1 xpassed in 12s ==\n", 0, "44 passed, 0 failed"),
        ("10 passed, 3 subtests passed in 2.10s\n", 0, "10 passed, 0 failed"),
        ("FAILED x\n3 failed, 41 passed, 1 skipped in 2.10s\n", 2, "41 passed, 3 failed"),
        ("1 failed, 4 passed, 1 error in 0.30s\n2 errors in 0.1s\n", 2, "4 passed, 4 failed"),
    ],
)
def test_the_sums_are_those_of_pytest(tmp_path: Path, said: str, status: int, want: str) -> None:
    assert run(tmp_path, said, status=status) == (status, want)


def test_what_fails_beside_the_tests_is_a_failure_too(tmp_path: Path) -> None:
    said = "900 passed in 20.0s\nmake: *** [test-images] Error 1\n"
    assert run(tmp_path, said, status=2) == (2, "900 passed, 1 failed")


def test_so_is_a_machine_that_was_not_cleaned(tmp_path: Path) -> None:
    assert run(tmp_path, "9 passed in 20.0s\n", down=1) == (1, "9 passed, 1 failed")


@pytest.mark.parametrize(("after", "want"), [("link lo\n", 0), ("link veth1\n", 1)])
def test_so_is_a_machine_that_is_not_as_before(tmp_path: Path, after: str, want: int) -> None:
    assert run(tmp_path, "9 passed in 20.0s\n", machines=f"link lo\n{after}") == (want, f"9 passed, {want} failed")


def test_what_a_run_by_hand_left_in_our_cache_may_go(tmp_path: Path) -> None:
    left = Path("~/.cache/belay/buildah/overlay").expanduser()
    assert run(tmp_path, "9 passed in 20.0s\n", machines=f"mount {left}\n\n") == (0, "9 passed, 0 failed")


@pytest.mark.parametrize("said", ["", "no tests ran in 0.01s\n"])
def test_so_are_tests_that_never_ran(tmp_path: Path, said: str) -> None:
    assert run(tmp_path, said) == (1, "0 passed, 1 failed")


def test_so_is_a_machine_that_cannot_be_prepared(tmp_path: Path) -> None:
    refuse = "#!/bin/sh\nexit 100\n"
    said = run(tmp_path, "9 passed in 1s\n", **{"python3": refuse, "apt-get": refuse})
    assert said == (100, "0 passed, 1 failed")
