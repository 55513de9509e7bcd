"""Cutting a training in two changes no bit of it; in one process, so that every run can be looked at."""

import logging
from pathlib import Path
from typing import Any

import pytest
from trainer_support import make_config

from belay_trainer import boundary, checkpoint, evaluate
from belay_trainer.boundary import Best, Own, _completed
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration, Interrupted
from belay_trainer.evaluate import Evaluator
from belay_trainer.heartbeat import Heartbeat
from belay_trainer.keeper import Keeper
from belay_trainer.stop import Stop
from belay_trainer.store.folder import FolderStore
from belay_trainer.train import Trained, train

SHORT = {"algorithm": {"ppo": {"n_steps": 32, "batch_size": 256}}}  # collections, of eight copies


class StopAfter(Stop):
    """Asked to go at the n-th look."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def asked(self) -> bool:  # type: ignore[override]
        self.looks -= 1
        return self.looks < 0


def _train(root: Path, stop: Stop | None = None, **spec: Any) -> Trained:
    run = Run(make_config(**spec), index=0, seed=0)
    keeper = Keeper(root / "here", FolderStore(root, claim="c", seed="u/0"), keep=2)
    try:
        return train(run, keeper=keeper, heartbeat=Heartbeat(None, "demo"), stop=stop or Stop())
    finally:
        keeper.flush(5)
        keeper.close()


def _in_pieces(root: Path, looks: tuple[int, ...], **spec: Any) -> Trained:
    for piece in looks:
        with pytest.raises(Interrupted):
            _train(root, StopAfter(piece), **spec)
    return _train(root, **spec)


@pytest.fixture(autouse=True)
def _random_actions_without_a_look(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Looks are counted, and cuts are to fall into the training."""
    played = Evaluator.random
    if "cut_into_random" not in request.node.name:
        monkeypatch.setattr(Evaluator, "random", lambda self, **how: played(self, **how | {"stop": lambda: False}))


@pytest.mark.parametrize(
    ("spec", "looks"),
    [
        ({"environment": {"id": "CartPole-v1"}}, (3, 5)),
        # Evaluations are looked at before every timestep: this cut falls into one, which is then played again whole.
        ({"evaluation": {"every": 512, "episodes": 3}}, (80,)),
        (SHORT | {"environment": {"id": "Pendulum-v1"}, "evaluation": {"every": 1000, "episodes": 2}}, (4,)),
        ({"environment": {"id": "tasks:Countdown-v0"}, "algorithm": {"dqn": {}}}, (400,)),
        ({"algorithm": {"dqn": {}}, "environment": {"id": "CartPole-v1", "vector": {"count": 3}}}, (250, 700)),
        ({"algorithm": {"dqn": {"buffer_size": 700}}}, (1600,)),  # the buffer went round
        (
            SHORT
            | {"environment": {"id": "tasks:Picture-v0"}, "budget": {"steps": 1000}, "checkpoint": {"every": 256}},
            (3,),
        ),
    ],
)
def test_a_cut_changes_no_bit(tmp_path: Path, spec: dict[str, Any], looks: tuple[int, ...]) -> None:
    whole, pieces = _train(tmp_path / "whole", **spec), _in_pieces(tmp_path / "pieces", looks, **spec)
    assert pieces.resumed_from
    assert checkpoint.weights_sha256(pieces.model) == checkpoint.weights_sha256(whole.model)
    assert pieces.best.report == whole.best.report
    assert pieces.outcomes == whole.outcomes
    for name, tensor in whole.best.weights["policy"].items():
        assert (pieces.best.weights["policy"][name] == tensor).all()


def test_evaluations_and_checkpoints_change_no_bit(tmp_path: Path) -> None:
    often = {"evaluation": {"every": 300, "episodes": 3}, "checkpoint": {"every": 300}}
    never = {"evaluation": {"every": 10**6, "episodes": 1}, "checkpoint": {"every": 10**6}}
    hashes = {
        checkpoint.weights_sha256(_train(tmp_path / str(number), **spec).model)
        for number, spec in enumerate((often, never))
    }
    assert len(hashes) == 1


def test_the_best_evaluated_policy_is_kept_not_the_last(tmp_path: Path) -> None:
    trained = _train(
        tmp_path, budget={"steps": 12_000}, algorithm={"dqn": {}}, evaluation={"every": 500, "episodes": 5}
    )
    checkpoint.set_weights(trained.model, trained.best.weights)
    from belay_api.training import EnvironmentSpec, EvaluationSpec
    from belay_trainer.environments import maker

    task = EnvironmentSpec(id="CartPole-v1")
    again = Evaluator.held_out(maker(task), task, EvaluationSpec(episodes=5))
    assert again(trained.model.policy, step=trained.best.report.step).report == trained.best.report


def test_the_training_knows_how_far_outcomes_reach(tmp_path: Path) -> None:
    task = {"id": "CartPole-v1", "rewardRange": {"low": 0, "high": 1}}
    found = _train(tmp_path, environment=task, budget={"steps": 12_000})
    known = found.outcomes["return"]
    assert known.random is not None
    assert 15 < known.random.mean < 30
    assert known.evaluated.mean == found.best.report.mean
    assert known.low == min(known.random.min, known.low) < known.evaluated.mean <= known.high
    assert known.certain is not None
    assert (known.certain.low, known.certain.high) == (0, 500)
    assert found.outcomes["length"].certain is not None
    assert found.outcomes["length"].high == known.high, "CartPole pays 1 a timestep"
    assert _train(tmp_path / "unsaid", budget={"steps": 1_000}).outcomes["return"].certain is None


def test_a_cut_into_random_actions_is_no_loss(tmp_path: Path) -> None:
    whole, pieces = _train(tmp_path / "whole"), _in_pieces(tmp_path / "pieces", (5,))
    assert pieces.outcomes == whole.outcomes
    assert checkpoint.weights_sha256(pieces.model) == checkpoint.weights_sha256(whole.model)


def test_what_an_earlier_version_kept_is_taken_up() -> None:
    old = object.__new__(Own)
    old.evaluated_at, old.saved_at, old.best = 5, 4, None
    assert _completed(old) == Own(evaluated_at=5, saved_at=4)
    best = object.__new__(Best)
    best.report, best.weights = None, {}
    assert _completed(best).played == {}


def test_an_environment_that_cannot_be_pickled_is_started_afresh(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        trained = _in_pieces(tmp_path, (3,), environment={"id": "tasks:Stubborn-v0"})
    assert "cannot be pickled" in caplog.text
    assert trained.resumed_from
    assert trained.step >= 3000


def test_a_collection_that_does_not_end_in_time_is_cut_and_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boundary, "PATIENCE_S", 0.0)
    spec = {"budget": {"steps": 2048}, "checkpoint": {"every": 100_000}, "evaluation": {"every": 100_000}}
    with pytest.raises(Interrupted, match="timestep 768"):  # in the fourth collection of 256
        _train(tmp_path, StopAfter(3 + 3 * 32 + 10), **spec)
    trained = _train(tmp_path, **spec)
    assert (trained.resumed_from, trained.step) == (768, 2048)


def test_a_task_that_never_ends_is_refused_and_one_that_a_good_policy_outlives_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "ENDLESS", 300)
    spec = {"budget": {"steps": 1024}, "evaluation": {"every": 512, "episodes": 3}}
    with pytest.raises(BadConfiguration, match="max_episode_steps"):
        _train(tmp_path / "endless", environment={"id": "tasks:Endless-v0"}, **spec)
    trained = _train(tmp_path / "outlived", environment={"id": "tasks:Skilful-v0"}, **spec)
    assert trained.best.report.episodes == 3


def test_a_checkpoint_nobody_can_read_is_unusable() -> None:
    with pytest.raises(checkpoint.Unusable):
        checkpoint.unpack(b"no pickle")
    with pytest.raises(checkpoint.Unusable, match="format"):
        checkpoint.unpack(checkpoint.cloudpickle.dumps({"format": 0}))
