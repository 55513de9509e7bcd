"""What tests take from each other is there. Many run in images or on a cluster, where a wrong name is found late."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
HELPERS = {path.stem: path for path in TESTS.rglob("*.py") if path.stem != "conftest"}


def _top(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands at a module's top, inside a `with` or an `if` as well, and not what is local to a function."""
    for inner in ast.iter_child_nodes(node):
        yield inner
        if not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _top(inner)


def _names(path: Path) -> set[str]:
    """Return what a module defines or imports."""
    found: set[str] = set()
    for node in _top(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.Name(ctx=ast.Store()):
                found.add(node.id)
            case ast.Import() | ast.ImportFrom():
                found |= {(one.asname or one.name).partition(".")[0] for one in node.names}
    return found


def _taken(path: Path) -> Iterator[tuple[Path, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            beside = path.parent / f"{node.module}.py"
            below = TESTS.parent / f"{node.module.replace('.', '/')}.py"
            found = next((one for one in (beside, below) if one.exists()), HELPERS.get(node.module))
            if found and found.is_relative_to(TESTS):
                yield from ((found, one.name) for one in node.names)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_what_it_takes_from_others_is_there(path: Path) -> None:
    absent = [f"{one.name}: {name}" for one, name in _taken(path) if name != "*" and name not in _names(one)]
    assert absent == []


@pytest.mark.parametrize("folder", ["api", "e2e", "long"])
def test_what_runs_outside_the_images_needs_nothing_of_them(folder: str) -> None:
    """Torch is in the trainer's image alone: a file that imports it ends the whole run at once."""
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", f"tests/{folder}"]
    collected = subprocess.run(words, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert collected.returncode == 0, collected.stdout[-2000:]
