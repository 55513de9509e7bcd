"""What is told when the module of an environment's id cannot be imported, or registers nothing."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from belay_api.environment import EnvironmentSpec
from belay_trainer.environments import maker
from belay_trainer.errors import BadConfiguration
from belay_trainer.runtime import importable

Code = Callable[..., None]

TASK = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
gymnasium.register(id="{id}", entry_point=CartPoleEnv)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Code]:
    """Yield what puts modules where a pod has the user's own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    monkeypatch.setattr(importable, "_OWN", [])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    folder = tmp_path / "code"
    folder.mkdir()

    def write(**modules: str) -> None:
        for stem, text in modules.items():
            path = folder / (stem.replace("__", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        importable.add(folder, own=True)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def told(id: str) -> str:
    with pytest.raises(BadConfiguration) as raised:
        maker(EnvironmentSpec(id=id))()
    assert str(raised.value).startswith("environment.id: ")
    return str(raised.value)


def test_a_module_of_a_package_is_imported(code: Code) -> None:
    code(own_tasks__envs=TASK.format(id="OwnTask-v0"))
    environment = maker(EnvironmentSpec(id="own_tasks.envs:OwnTask-v0"))()
    assert environment.reset(seed=1)[0].shape == (4,)


def test_children_find_the_modules_as_well(code: Code, tmp_path: Path) -> None:
    code(own_tasks="")
    assert os.environ["PYTHONPATH"].split(os.pathsep)[-1] == str(tmp_path / "code")


def test_nothing_of_python_is_hidden(code: Code) -> None:
    code(statistics="raise RuntimeError('hidden')")
    assert "which the one in runtime.code does not replace" in told("statistics:Task-v0")


def test_a_module_that_is_missing_in_ones_own_package_is_told(code: Code) -> None:
    code(own_games__envs="")
    words = told("own_games.env:Task-v0")
    assert "this pod has no module own_games.env. runtime.code has own_games. " in words


def test_without_code_it_is_said_where_modules_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importable, "_OWN", [])
    words = told("no_such_tasks:Task-v0")
    assert "this pod has no module no_such_tasks." in words
    assert "runtime.code: {configMap: {name: my-task}}" in words
    assert "runtime.packages" in words


def test_the_nearest_module_of_the_users_own_is_named(code: Code) -> None:
    code(my_tasks="", helpers="")
    assert "runtime.code has helpers, my_tasks: did you mean my_tasks?" in told("my_task:Task-v0")


WORDS = {
    "another package": ("import no_such_simulator.cars", r"imports no_such_simulator.*no-such-simulator==<version>"),
    "not Python": ("def broken(:\n", r"SyntaxError.*line 1"),
    "a name": ("import os\n\nx = undefined\n", r"broken_task\.py line 3: NameError: name 'undefined'"),
    "a script": ("import sys\nsys.exit(0)\n", r"broken_task\.py line 2: SystemExit: 0"),
    "a neighbour": ("from . import other\n", r"relative import.*runtime\.code\.configMap\.package"),
}


@pytest.mark.parametrize("case", WORDS)
def test_what_a_module_does_wrong_is_told_with_its_place(code: Code, case: str) -> None:
    text, words = WORDS[case]
    code(broken_task=text)
    assert re.search(words, told("broken_task:Task-v0"))


def test_a_module_that_registers_another_id_is_told_with_it(code: Code) -> None:
    code(other_task=TASK.format(id="Other-v0"))
    words = told("other_task:Task-v0")
    assert "other_task was imported, and no environment is registered as Task-v0. It registers Other-v0." in words
    assert "gymnasium.register(" in words


def test_a_module_that_was_imported_before_still_names_its_ids(code: Code) -> None:
    code(again_task=TASK.format(id="Again-v1").replace("=CartPoleEnv", '="again_task:CartPoleEnv"'))
    assert "It registers Again-v1." in told("again_task:Task-v0")
    assert "It registers Again-v1." in told("again_task:Task-v0")


def test_a_file_that_cannot_be_read_is_not_the_users_fault(code: Code) -> None:
    code(unreadable_task="raise OSError(5, 'Input/output error')")
    with pytest.raises(OSError, match="Input/output error"):
        maker(EnvironmentSpec(id="unreadable_task:Task-v0"))()


def test_an_id_without_its_module_is_told_how_to_name_it() -> None:
    assert "as in my_task:CartPol-v1" in told("CartPol-v1")
