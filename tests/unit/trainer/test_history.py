"""Curves: which rows there are, what a cut leaves of them, how they are kept, and what they are called."""

import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from tensorboardX.proto.event_pb2 import Event
from trainer_configs import make_config
from trainer_support import StopAfter, task_for

from belay_api.wire import RunProgress
from belay_trainer.config import Run
from belay_trainer.errors import Interrupted
from belay_trainer.heartbeat import Heartbeat
from belay_trainer.history import CLOSE_S, ROWS, History
from belay_trainer.keeper import Keeper
from belay_trainer.learners import LEARNERS
from belay_trainer.learners.actions import ACTION, of_actions
from belay_trainer.learners.gradients import EVERY, GradientNorms
from belay_trainer.metrics import METRICS, named
from belay_trainer.session import tracking_patience_s
from belay_trainer.stop import Stop
from belay_trainer.store.folder import FolderStore
from belay_trainer.trackers.json_lines import JsonLines, Row, read_rows
from belay_trainer.trackers.tensorboard import TensorBoard
from belay_trainer.train import build, train

EARLY = {"learning_starts": 100, "train_freq": 4, "gradient_steps": 4}
SMALL = {"learning_starts": 50, "train_freq": 4, "gradient_steps": 1, "net_arch": [16], "batch_size": 32}
EVERYBODY_TELLS = ("collection/return", "collection/length", "learning_rate", "updates")
ON_POLICY = ("loss", "policy_loss", "value_loss", "explained_variance", "entropy", "value", "gradient_norm")
CLIPPED = (*ON_POLICY, "kl", "clip_fraction", "clip_range")
Q_LEARNING = ("loss", "exploration_rate", "q_value", "gradient_norm")
ACTOR_CRITIC = ("actor_loss", "critic_loss", "q_value", "actor_gradient_norm", "critic_gradient_norm")
SOFT = (*ACTOR_CRITIC, "temperature", "temperature_loss")
TOLD = {
    "ppo": CLIPPED,
    "maskablePPO": CLIPPED,
    "recurrentPPO": CLIPPED,
    "a2c": tuple(name for name in ON_POLICY if name != "loss"),
    "dqn": Q_LEARNING,
    "qrdqn": Q_LEARNING,
    "td3": ACTOR_CRITIC,
    "sac": SOFT,
    "tqc": SOFT,
    "crossq": SOFT,
}


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


def test_trackers_that_hang_share_what_a_pod_that_must_go_has_left() -> None:
    class Hanging:
        def begin(self, step: int) -> None: ...
        def record(self, step: int, metrics: Mapping[str, float]) -> None: ...
        def close(self, patience_s: float) -> None:
            time.sleep(patience_s)

    began = time.monotonic()
    History([Hanging(), Hanging(), Hanging()]).close(0.2)
    assert 0.2 <= time.monotonic() - began < 0.5

    stop, run = Stop(), Run(make_config(checkpoint={"grace": "10s"}), index=0, seed=0)
    assert tracking_patience_s(run, stop) == CLOSE_S
    stop._asked = True
    assert tracking_patience_s(run, stop) == 1.0


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
    first.close(1.0)
    second = TensorBoard(tmp_path)
    second.begin(10)
    second.record(20, {"return": 2.0})
    second.close(1.0)

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
        tracker.close(1.0)
    (only,) = tmp_path.glob("events.out.tfevents.*")
    assert _points(_events(only)) == {(10, "return"): 2.0}


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_everything_an_algorithm_tells_has_a_name_and_a_definition(algorithm: str) -> None:
    task = task_for(algorithm)
    quick = {"net_arch": [16, 16]} | (EARLY if "q_value" in TOLD[algorithm] else {})
    quick |= {"lstm_hidden_size": 16} if algorithm == "recurrentPPO" else {}
    learner = build(Run(make_config(environment=task, algorithm={algorithm: quick}), index=0, seed=0))
    learner.start()
    steps = 2100 if algorithm in ("ppo", "maskablePPO") else 220
    learner.advance(steps, leave=lambda: False, on_step=lambda: None)
    told = named(learner.metrics())
    shares = {name: value for name, value in told.items() if name.startswith(ACTION)}
    assert set(told) - set(shares) <= {metric.name for metric in METRICS}
    assert told["collection/length"] > 0
    assert {*EVERYBODY_TELLS, *TOLD[algorithm]} <= set(told)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(value > 0 for name, value in told.items() if name.endswith("gradient_norm"))


def test_the_size_of_a_gradient_is_that_before_it_was_clipped() -> None:
    weights, norms = torch.nn.Parameter(torch.zeros(2)), GradientNorms()
    optimiser, clip = torch.optim.SGD([weights], lr=0.1), torch.nn.utils.clip_grad_norm_
    with norms.noted():
        (weights @ torch.tensor([3.0, 4.0])).backward()
        optimiser.step()
        assert norms.of(optimiser) == pytest.approx(5.0)
        optimiser.zero_grad()
        (weights @ torch.tensor([6.0, 8.0])).backward()
        torch.nn.utils.clip_grad_norm_([weights], 1.0)
        optimiser.step()
    assert norms.of(optimiser) == pytest.approx(10.0)
    assert weights.detach().numpy() == pytest.approx([-0.3 - 0.06, -0.4 - 0.08])
    assert torch.nn.utils.clip_grad_norm_ is clip
    optimiser.step()  # not in the block: nobody looks
    assert norms.of(optimiser) == pytest.approx(10.0)


def test_one_that_is_not_clipped_is_measured_now_and_then_wherever_a_run_was_cut() -> None:
    weights, norms = torch.nn.Parameter(torch.zeros(2)), GradientNorms()
    optimiser = torch.optim.Adam([weights], lr=0.1)

    def step(norm: float) -> float | None:
        with norms.noted():
            optimiser.zero_grad()
            (weights @ torch.tensor([0.6 * norm, 0.8 * norm])).backward()
            optimiser.step()
        return norms.of(optimiser)

    told = [step(float(count)) for count in range(1, EVERY + 1)]
    assert set(told) == {told[0]}
    assert told[0] == pytest.approx(1.0)
    known, norms = norms.of(optimiser), GradientNorms()
    norms.put(optimiser, known)
    assert step(EVERY + 1) == pytest.approx(EVERY + 1)


def test_parts_of_a_range_are_counted_as_the_environment_takes_them() -> None:
    box = spaces.Box(np.array([0.0, -1.0], np.float32), np.array([10.0, 1.0], np.float32))
    told = of_actions(np.array([[-5.0, 5.0], [0.5, 0.99], [2.5, 0.0], [np.nan, 0.0]]), box)
    assert {name: share for name, share in told.items() if share} == {
        "action/0": pytest.approx(2 / 6),
        "action/9": pytest.approx(2 / 6),
        "action/2": pytest.approx(1 / 6),
        "action/5": pytest.approx(1 / 6),
    }
    assert of_actions(np.array([[np.nan, 0.0]]), box) == {}
    assert of_actions(np.zeros((3, 1)), spaces.Box(-np.inf, np.inf, (1,))) == {}
    assert of_actions(np.zeros((3, 1)), spaces.Discrete(1000)) == {}


def test_the_curves_have_the_success_rate_of_evaluations(tmp_path: Path) -> None:
    spec = {"environment": {"id": "tasks:Graded-v0"}, "algorithm": {"ppo": {"n_steps": 32}}, "budget": {"steps": 64}}
    run = Run(make_config(**spec, evaluation={"every": 64, "episodes": 7}), 0, 0)
    keeper = Keeper(tmp_path / "here", FolderStore(tmp_path, claim="c", seed="u/0"), keep=2)
    history = History([JsonLines(tmp_path / "curves")], budget=64)
    train(run, keeper=keeper, heartbeat=Heartbeat(None, "demo"), stop=Stop(), history=history, beside_random=False)
    keeper.close()
    told = [row.metrics["success_rate"] for row in read_rows(tmp_path / "curves") if "success_rate" in row.metrics]
    assert told == [4 / 7]


@pytest.mark.parametrize(
    ("algorithm", "task", "looks"),
    [
        ({"ppo": {"n_steps": 8, "n_epochs": 2}}, "CartPole-v1", 30),
        ({"dqn": SMALL}, "CartPole-v1", 300),
        ({"sac": SMALL}, "Pendulum-v1", 300),
    ],
)
def test_a_training_that_was_cut_has_the_curves_of_one_that_was_not(
    tmp_path: Path, algorithm: dict[str, Any], task: str, looks: int
) -> None:
    spec = {"environment": {"id": task}, "algorithm": algorithm, "budget": {"steps": 400}}
    run = Run(make_config(**spec, evaluation={"every": 200, "episodes": 1}, checkpoint={"every": 100}), 0, 0)

    class Logbook:
        def tell(self, progress: RunProgress) -> None:
            self.newest = progress.metrics

        def close(self) -> None: ...

    logbook = Logbook()

    def curves(root: Path, *stops: Stop) -> list[Row]:
        for stop in stops:
            keeper = Keeper(root / "here", FolderStore(root, claim="c", seed="u/0"), keep=2)
            history = History([JsonLines(root / "curves")], budget=400)
            with suppress(Interrupted):
                train(
                    run,
                    keeper=keeper,
                    heartbeat=logbook,
                    stop=stop,
                    history=history,
                    beside_random=False,
                )
            keeper.flush(5)
            keeper.close()
        rows = read_rows(root / "curves")
        return [Row(row.step, {k: v for k, v in row.metrics.items() if k != "steps_per_second"}) for row in rows]

    whole = curves(tmp_path / "whole", Stop())
    assert len(whole) > 6, "too few rows to show anything"
    assert {"length", "sample_efficiency", "action/0"} <= set(logbook.newest), "the logbook hears less than the curves"
    assert curves(tmp_path / "cut", StopAfter(looks), Stop()) == whole


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
