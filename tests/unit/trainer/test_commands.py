"""The command line: which command runs, and what a wrong one is told."""

import pytest

from belay_trainer.__main__ import main
from belay_trainer.commands import COMMANDS, pod


def test_without_a_command_it_is_a_training_pod(monkeypatch):
    seen = []
    monkeypatch.setattr(pod, "run", lambda options: seen.append(options) or 7)

    assert main(["--index", "4"]) == 7
    assert main(["pod", "--index", "5"]) == 7
    assert [options.index for options in seen] == ["4", "5"]


def test_a_misspelt_command_is_answered_with_the_list(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["trian"])

    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "trian" in told
    assert all(name in told for name in COMMANDS)


def test_help_has_a_line_for_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert all(command.HELP in told for command in COMMANDS.values())
