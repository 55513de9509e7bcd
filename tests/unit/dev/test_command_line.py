"""What the command line takes for its own, what it passes on, and how it ends."""

import errno
from pathlib import Path

import pytest

from belay_cluster import __main__ as module
from belay_cluster.__main__ import main, parse


@pytest.mark.parametrize("order", [["--mount", "a:b", "name"], ["name", "--mount", "a:b"]])
def test_options_may_stand_on_both_sides_of_the_image(order: list[str]) -> None:
    options, command = parse(["image-run", *order, "--", "python3", "-m", "pytest", "--mount", "x", "--", "y"])
    assert (options.name, options.mount) == ("name", ["a:b"])
    assert command == ["python3", "-m", "pytest", "--mount", "x", "--", "y"]


@pytest.mark.parametrize("arguments", [["image-run", "name"], ["up", "--", "x"], ["build", "--only", "nothing"]])
def test_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/cache/x"), 1, "No space left on device: '/cache/x'"),
        (KeyboardInterrupt(), 130, "interrupted. The same command goes on from here"),
    ],
)
def test_a_full_disk_and_ctrl_c_end_in_a_sentence(
    error: BaseException, status: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dispatch(*_: object) -> int:
        raise error

    monkeypatch.setattr(module, "dispatch", dispatch)
    assert main(["up"]) == status
    assert told in capsys.readouterr().err


def test_api_down_deletes_no_folder_of_somebody_elses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis").touch()
    assert main(["api-down", "--state", str(tmp_path)]) == 1
    assert "holds thesis: give each server a folder of its own" in capsys.readouterr().err
    (tmp_path / "thesis").rename(tmp_path / "ports")
    assert main(["api-down", "--state", str(tmp_path)]) == 0
    assert not tmp_path.exists()
