"""Curves: which rows there are, what a cut leaves of them, how they are kept, and what they are called."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event
from trainer_support import make_config, task_for

from belay_trainer.config import Run
from belay_trainer.history import ROWS, History
from belay_trainer.learners import LEARNERS
from belay_trainer.metrics import METRICS, named
from belay_trainer.trackers.json_lines import JsonLines, Row, read_rows
from belay_trainer.trackers.tensorboard import TensorBoard
from belay_trainer.train import build


def _updates(history: History, steps: range) -> list[int]:
    told = []
    for step in steps:
        if history.due(step):
            history.update(step, {})
            told.append(step)
    return told


def test_rows_are_few_and_the_same_wherever_a_run_was_cut(tmp_path: Path) -> None:
    whole = History([JsonLines(tmp_path / "a")], budget=50 * ROWS)
    whole.begin(0)
    wanted = _updates(whole, range(0, 50 * ROWS + 1, 7))
    assert len(wanted) <= ROWS
    cut = History([JsonLines(tmp_path / "b")], budget=50 * ROWS)
    cut.begin(0)
    first = _updates(cut, range(0, 20_000, 7))
    again = History([JsonLines(tmp_path / "b")], budget=50 * ROWS)
    again.begin(14_000)  # a checkpoint's; 857 rows of the first life are void
    rest = _updates(again, range(14_000, 50 * ROWS + 1, 7))

    assert [*(step for step in first if step <= 14_000), *rest] == wanted
    assert [row.step for row in read_rows(tmp_path / "b")] == wanted


def test_a_history_that_nobody_keeps_costs_nothing() -> None:
    history = History(budget=10)
    history.begin(0)
    assert not history.due(10)


def test_a_torn_last_line_is_left_out_and_then_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"
    lines = JsonLines(path)
    lines.begin(0)
    lines.record(10, {"return": 1.5})
    lines.record(20, {"return": 2.5})
    path.write_text(path.read_text() + '{"step": 30, "met')

    assert list(read_rows(path)) == [Row(10, {"return": 1.5}), Row(20, {"return": 2.5})]
    lines.begin(10)
    lines.record(20, {"return": 2.0})
    assert list(read_rows(path)) == [Row(10, {"return": 1.5}), Row(20, {"return": 2.0})]


def test_tensorboard_reads_what_was_told_and_hides_what_a_lost_life_told(tmp_path: Path) -> None:
    first = TensorBoard(tmp_path)
    first.begin(0)
    first.record(10, {"return": 1.5, "kl": 0.25})
    first.record(20, {"return": 2.5})
    first.close()
    second = TensorBoard(tmp_path)
    second.begin(10)
    second.record(20, {"return": 2.0})
    second.close()

    events = [_events(path) for path in sorted(tmp_path.glob("events.out.tfevents.*"), key=lambda path: path.suffix)]
    assert [_points(told) for told in events] == [
        {(10, "return"): 1.5, (10, "kl"): 0.25, (20, "return"): 2.5},
        {(20, "return"): 2.0},
    ]
    # TensorBoard hides earlier points from the timestep of such a mark on.
    assert [event.step for event in events[1] if event.HasField("session_log")] == [11]


def test_tensorboard_begins_anew_without_the_curves_of_a_run_before(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        tracker = TensorBoard(tmp_path)
        tracker.begin(0)
        tracker.record(10, {"return": value})
        tracker.close()
    (only,) = tmp_path.glob("events.out.tfevents.*")
    assert _points(_events(only)) == {(10, "return"): 2.0}


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_everything_an_algorithm_tells_has_a_name_and_a_definition(algorithm: str) -> None:
    task = task_for(algorithm)
    settings = {"net_arch": [16, 16]} | ({"lstm_hidden_size": 16} if algorithm == "recurrentPPO" else {})
    learner = build(Run(make_config(environment=task, algorithm={algorithm: settings}), index=0, seed=0))
    learner.start()
    steps = 2100 if algorithm in ("ppo", "maskablePPO") else 220
    learner.advance(steps, leave=lambda: False, on_step=lambda: None)
    told = named(learner.metrics())
    assert set(told) <= {metric.name for metric in METRICS}
    assert told["collection/length"] > 0


def test_names_are_told_apart() -> None:
    assert named({"train/entropy_loss": -0.5, "train/approx_kl": 0.1, "something/new": 3.0}) == {
        "entropy": 0.5,
        "kl": 0.1,
        "something/new": 3.0,
    }


def _events(path: Path) -> list[Event]:
    """Return the events of a file: each is framed by its length (8 bytes), a sum (4), and a sum behind it (4)."""

    def records(content: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            yield content[at + 12 : at + 12 + length]
            at += 12 + length + 4

    return [Event.FromString(record) for record in records(path.read_bytes())]


def _points(events: list[Event]) -> Mapping[tuple[int, str], float]:
    return {(event.step, value.tag): value.simple_value for event in events for value in event.summary.value}
