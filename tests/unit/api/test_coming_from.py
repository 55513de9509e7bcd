"""What `docs/guides/coming-from.md` calls a field or a command is one."""

import re
from pathlib import Path

import pytest

from belay_trainer.commands import COMMANDS

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/guides/coming-from.md").read_text()
FIELDS = {
    field.replace("[]", "")
    for kind in ("rltrainingjob", "rlpolicy", "rlrollout")
    for field in re.findall(r"^\| `([\w.\[\]]+)` \|", (ROOT / f"docs/reference/{kind}.md").read_text(), re.M)
}
HERE = [row.split(" | ")[1] for row in GUIDE.splitlines() if row.startswith("| ") and row.count(" | ") == 1]
ALSO = [text for text in GUIDE.split("\n\n") if text.startswith("Not here")]
NAMED = sorted({name for text in HERE + ALSO for name in re.findall(r"`([a-z]\w*(?:\[\])?(?:\.\w+)+)`", text)})
COMMAND = sorted(set(re.findall(r"belay-trainer ([\w-]+)", GUIDE)))


@pytest.mark.parametrize("name", NAMED)
def test_a_field_that_is_named_is_one(name: str) -> None:
    path = name.replace("[]", "")
    assert path in FIELDS or any(field.endswith(f".{path}") for field in FIELDS)


@pytest.mark.parametrize("name", COMMAND)
def test_a_command_that_is_named_is_one(name: str) -> None:
    assert name in COMMANDS


def test_the_guide_names_something() -> None:
    assert len(NAMED) > 20
    assert len(COMMAND) > 4
