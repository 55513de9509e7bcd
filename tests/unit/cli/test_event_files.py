"""`kubectl belay curve --tensorboard`: what the logbook keeps, read back as TensorBoard reads it."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event
from tests.unit.logbook.support import Process

from belay_cli.main import main

from .conftest import FakeKubectl


def events(folder: Path) -> list[Event]:
    """Return what the one event file of a folder holds."""
    (path,) = folder.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), []
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + size]))
        content = content[12 + size + 4 :]
    return found


def test_all_metrics_of_every_seed_are_written_and_written_anew(
    kubectl: FakeKubectl, told: str, logbook: Process, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "board"
    command = ["curve", "cartpole", "-n", told, "--logbook", logbook.url, "--tensorboard", str(folder)]
    assert main(command) == 0
    assert main(command) == 0, "a training that goes on is asked again"
    printed = capsys.readouterr().out
    assert "4 metrics of 2 seeds" in printed
    assert printed.endswith(f"tensorboard --logdir {folder}\n")
    assert sorted(path.name for path in (folder / "cartpole").iterdir()) == ["seed-40", "seed-41"]

    found = [event for event in events(folder / "cartpole" / "seed-41") if event.HasField("summary")]
    points = {(event.step, value.tag): value.simple_value for event in found for value in event.summary.value}
    steps = range(0, 50_000, 5000)
    assert {at: points[at, "return"] for at in steps} == {at: at / 100 + 10 for at in steps}
    assert {tag for _, tag in points} == {"return", "return/std", "return/episodes", "train/loss"}
    assert [event.step for event in found] == sorted(event.step for event in found), "TensorBoard hides what comes late"
    assert len(points) == sum(len(event.summary.value) for event in found), "no point twice"


CANNOT = {
    "a metric beside it": (["--metric", "return"], 2, "not allowed with argument"),
    "nothing told": (["-n", "nobody"], 1, "told the logbook nothing yet"),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_be_written_is_told(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    arguments, code, words = CANNOT[case]
    try:
        found = main(["curve", "cartpole", "--tensorboard", str(tmp_path / "board"), *arguments])
    except SystemExit as error:  # argparse's
        found = error.code
    assert found == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "board").exists()


def test_a_folder_that_cannot_be_made_is_told(
    kubectl: FakeKubectl, told: str, logbook: Process, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    command = ["curve", "cartpole", "-n", told, "--logbook", logbook.url, "--tensorboard", str(tmp_path / "file")]
    assert main(command) == 1
    assert f"--tensorboard {tmp_path / 'file'}: " in capsys.readouterr().err


def test_the_extra_is_named_where_it_is_missing(
    kubectl: FakeKubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "belay_trainer.trackers.tensorboard", None)
    assert main(["curve", "cartpole", "--tensorboard", str(tmp_path)]) == 1
    assert "pip install '.[client,tensorboard]'" in capsys.readouterr().err


def test_the_writer_brings_nothing_else_of_the_trainer() -> None:
    """Nobody installs torch to look at a curve."""
    code = "import sys, belay_trainer.trackers.tensorboard; print(*(n for n in sys.modules if n[:9] == 'belay_tra'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "belay_trainer",
        "belay_trainer.trackers",
        "belay_trainer.trackers.tensorboard",
    }
