"""Cutting a training in two changes no bit of it; in one process, so that every run can be looked at."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainer_configs import make_config
from trainer_support import ROOT, StopAfter, task_for, train_in, train_in_pieces

from belay_trainer import checkpoint, evaluate, loop
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration, EnvironmentFailed, Interrupted
from belay_trainer.evaluate import Evaluator
from belay_trainer.learners import LEARNERS
from belay_trainer.learners.off_policy import OffPolicy
from belay_trainer.learners.stable_baselines import StableBaselines
from belay_trainer.stop import Stop
from belay_trainer.train import Trained, build

SHORT = {"algorithm": {"ppo": {"n_steps": 32, "batch_size": 256}}}  # collections, of eight copies

SMALL = {"learning_starts": 100, "net_arch": [32, 32], "batch_size": 64}
SMALL_ON_POLICY = {"recurrentPPO": {"n_steps": 32, "lstm_hidden_size": 16}}  # whose preset takes a minute for a round
CONTINUOUS = {
    "environment": {"id": "Pendulum-v1"},
    "budget": {"steps": 300},
    "evaluation": {"every": 150, "episodes": 1},  # which is looked at 200 times: 420 looks are 220 timesteps
    "checkpoint": {"every": 75},
}
THREE_COPIES = {"environment": {"id": "CartPole-v1", "vector": {"count": 3}}}
LAYERED = {
    "id": "layered_tasks:Heater-v0",
    "wrappers": [{"name": "FrameStackObservation", "kwargs": {"stack_size": 2}}, {"name": "FlattenObservation"}],
    "randomize": {"heat": {"uniform": [0, 1]}},
    "constraints": [{"name": "heat"}],
    "reward": {"components": {"cost": -0.5}, "potential": "layered_tasks:time_left"},
}


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
        (THREE_COPIES | {"algorithm": {"dqn": {}}, "budget": {"steps": 1800}}, (250, 250)),
        ({"algorithm": {"dqn": {"buffer_size": 700}}, "budget": {"steps": 2000}}, (1600,)),  # the buffer went round
        ({"algorithm": {"a2c": {}}, "environment": {"id": "Acrobot-v1"}}, (40,)),  # behind running statistics
        (CONTINUOUS | {"algorithm": {"a2c": {}}, "budget": {"steps": 800}}, (40,)),
        (CONTINUOUS | {"algorithm": {"a2c": {"use_sde": False}}, "budget": {"steps": 800}}, (40,)),
        (CONTINUOUS | {"algorithm": {"sac": SMALL}}, (420,)),  # whose temperature is learned
        (CONTINUOUS | {"algorithm": {"sac": SMALL | {"ent_coef": 0.1}}}, (420,)),
        (CONTINUOUS | {"algorithm": {"td3": SMALL}}, (420,)),
        (CONTINUOUS | {"algorithm": {"td3": SMALL}, "normalize": {"observation": True}}, (420,)),
        ({"algorithm": {"qrdqn": SMALL}, "budget": {"steps": 1500}}, (900,)),  # 128 gradient steps at a time
        (CONTINUOUS | {"algorithm": {"tqc": SMALL}}, (420,)),
        # Running statistics of layers, which the updates themselves use after a while.
        (CONTINUOUS | {"algorithm": {"crossq": SMALL | {"policy_kwargs": {"renorm_warmup_steps": 60}}}}, (420,)),
        # Layers that hold functions, draws for each episode by keyword and by attribute, and another reward.
        (SHORT | {"environment": LAYERED, "normalize": {"reward": True}, "budget": {"steps": 1500}}, (4,)),
        (
            {
                "environment": {"id": "CartPole-v1", "randomize": {"gravity": {"uniform": [5, 15]}}},
                "budget": {"steps": 1500},
            },
            (3,),
        ),
        (
            SHORT
            | {"environment": {"id": "tasks:Picture-v0"}, "budget": {"steps": 1000}, "checkpoint": {"every": 256}},
            (3,),
        ),
    ],
)
def test_a_cut_changes_no_bit(tmp_path: Path, spec: dict[str, Any], looks: tuple[int, ...]) -> None:
    whole, pieces = train_in(tmp_path / "whole", **spec), train_in_pieces(tmp_path / "pieces", looks, **spec)
    assert pieces.resumed_from
    assert pieces.learner.weights_sha256() == whole.learner.weights_sha256()
    assert pieces.best.report == whole.best.report
    assert pieces.outcomes == whole.outcomes
    best = whole.best.weights["parameters"]["policy"]
    for name, tensor in pieces.best.weights["parameters"]["policy"].items():
        assert (best[name] == tensor).all()


@pytest.mark.parametrize(
    ("ends", "trains_on"), [({"target": 8}, {"target": 501}), ({"patience": 1}, {"patience": 9})], ids=str
)
def test_a_seed_that_its_last_evaluation_had_ended_does_not_train_on(
    tmp_path: Path, ends: dict[str, int], trains_on: dict[str, int]
) -> None:
    """Its pod was lost while the artifact was made; a checkpoint was due at the same timestep."""

    def train(when: dict[str, int]) -> Trained:
        return train_in(
            tmp_path,
            **SHORT | {"algorithm": {"ppo": {"n_steps": 64, "learning_rate": 1e-9}}},  # which gets no better
            evaluation={"every": 512, "episodes": 3} | when,
            checkpoint={"every": 512},
        )

    first, again = train(ends), train(ends)
    assert first.ended_early
    assert (again.resumed_from, again.step, again.ended_early) == (first.step, first.step, first.ended_early)
    assert again.best.report == first.best.report
    assert train(trains_on).step > first.step, "somebody has asked for more meanwhile"


def test_evaluations_and_checkpoints_change_no_bit(tmp_path: Path) -> None:
    often = {"evaluation": {"every": 300, "episodes": 3}, "checkpoint": {"every": 300}}
    never = {"evaluation": {"every": 10**6, "episodes": 1}, "checkpoint": {"every": 10**6}}
    hashes = {
        train_in(tmp_path / str(number), **spec).learner.weights_sha256() for number, spec in enumerate((often, never))
    }
    assert len(hashes) == 1


def test_the_best_evaluated_policy_is_kept_not_the_last(tmp_path: Path) -> None:
    trained = train_in(tmp_path, algorithm={"dqn": {}}, evaluation={"every": 250, "episodes": 5})
    assert trained.best.step < trained.step, "the last is the best: the test shows nothing"
    trained.learner.take(trained.best.weights)
    from belay_api.environment import EnvironmentSpec
    from belay_api.training import EvaluationSpec
    from belay_trainer.environments import maker

    task = EnvironmentSpec(id="CartPole-v1")
    again = Evaluator.held_out(maker(task), task, EvaluationSpec(episodes=5))
    assert again(trained.learner.policy, step=trained.best.report.step).report == trained.best.report


def test_the_training_knows_how_far_outcomes_reach(tmp_path: Path) -> None:
    task = {"id": "CartPole-v1", "rewardRange": {"low": 0, "high": 1}}
    found = train_in(tmp_path, environment=task)
    known = found.outcomes["return"]
    assert known.random is not None
    assert 15 < known.random.mean < 30
    assert known.evaluated.mean == found.best.report.mean
    assert known.low == min(known.random.min, known.low) < known.evaluated.mean <= known.high
    assert known.certain is not None
    assert (known.certain.low, known.certain.high) == (0, 500)
    assert found.outcomes["length"].certain is not None
    assert found.outcomes["length"].high == known.high, "CartPole pays 1 a timestep"
    assert train_in(tmp_path / "unsaid", budget={"steps": 1_000}).outcomes["return"].certain is None


def test_a_cut_into_random_actions_is_no_loss(tmp_path: Path) -> None:
    whole, pieces = train_in(tmp_path / "whole"), train_in_pieces(tmp_path / "pieces", (5,))
    assert pieces.outcomes == whole.outcomes
    assert pieces.learner.weights_sha256() == whole.learner.weights_sha256()


def test_an_environment_that_cannot_be_pickled_is_started_afresh(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        trained = train_in_pieces(tmp_path, (3,), environment={"id": "tasks:Stubborn-v0"})
    assert "cannot be pickled" in caplog.text
    assert trained.resumed_from
    assert trained.step >= 3000


def test_a_collection_that_does_not_end_in_time_is_cut_and_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "COLLECTING", 0.0)
    spec = {"budget": {"steps": 2048}, "checkpoint": {"every": 100_000}, "evaluation": {"every": 100_000}}
    with pytest.raises(Interrupted, match="timestep 768"):  # in the fourth collection of 256
        train_in(tmp_path, StopAfter(3 + 3 * 32 + 10), **spec)
    trained = train_in(tmp_path, **spec)
    assert (trained.resumed_from, trained.step) == (768, 2048)


def test_a_task_that_never_ends_is_refused_and_one_that_a_good_policy_outlives_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "ENDLESS", 300)
    spec = {"budget": {"steps": 1024}, "evaluation": {"every": 512, "episodes": 3}}
    with pytest.raises(BadConfiguration, match="max_episode_steps"):
        train_in(tmp_path / "endless", environment={"id": "tasks:Endless-v0"}, **spec)
    trained = train_in(tmp_path / "outlived", environment={"id": "tasks:Skilful-v0"}, **spec)
    assert trained.best.report.episodes == 3


def test_what_follows_the_last_timestep_is_no_part_of_the_training(tmp_path: Path) -> None:
    """A pod that is asked to go in the last evaluation, or in the gates, has trained for good."""
    spec = {"checkpoint": {"every": 100_000}}
    first, again = train_in(tmp_path, **spec), train_in(tmp_path, **spec)
    assert (again.resumed_from, again.step) == (first.step, first.step)
    assert again.best.report == first.best.report
    assert again.learner.weights_sha256() == first.learner.weights_sha256()


def test_a_step_of_an_optimiser_is_a_sign_of_life(tmp_path: Path) -> None:
    """An update may take longer than `failure.stallTimeout`."""

    class Counting(Stop):
        """Counts looks where nobody asks."""

        looks, asked = 0, False  # type: ignore[assignment]

        def look(self) -> None:
            self.looks += 1

    stop, algorithm = Counting(), {"ppo": {"n_steps": 32, "batch_size": 256, "n_epochs": 21}}
    train_in(tmp_path, stop, algorithm=algorithm, budget={"steps": 512})
    assert stop.looks == 2 * 21, "two rounds, of one batch each"


def test_a_pod_that_goes_at_once_says_that_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="before anything was learned"):
        train_in(tmp_path, StopAfter(0))
    assert not list((tmp_path / "here").glob("*.ckpt"))


@pytest.mark.parametrize(
    ("task", "algorithm", "looks"),
    [
        ("tasks:Session-v0", {"ppo": {}}, 3),
        ("tasks:Called-v0", {"ppo": {"n_steps": 8, "batch_size": 32}}, 40),
        ("tasks:Called-v0", {"dqn": SMALL}, 1000),
    ],
)
def test_an_environment_that_does_not_outlive_its_process_costs_its_episodes_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, task: str, algorithm: dict[str, Any], looks: int
) -> None:
    with caplog.at_level(logging.WARNING):
        trained = train_in_pieces(tmp_path, (looks,), environment={"id": task}, algorithm=algorithm)
    assert "does not go on here (the session is gone)" in caplog.text
    assert trained.resumed_from
    assert trained.step >= 3000


def test_an_environment_that_fails_later_is_no_fault_of_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="failed in timestep .* RuntimeError: out of fuel"):
        train_in(tmp_path, environment={"id": "tasks:Thirsty-v0"})


@pytest.mark.parametrize("algorithm", [{"ppo": {}}, {"dqn": SMALL}, {"custom": {"entrypoint": "reinforce:Reinforce"}}])
def test_new_episodes_are_not_those_of_an_earlier_life(
    algorithm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "your-own-algorithm"))
    own = "custom" in algorithm

    def begins(timesteps: int) -> np.ndarray:
        learner = build(Run(make_config(algorithm=algorithm), index=0, seed=0))
        learner.start()
        if timesteps:
            state = learner.state()
            state["counters"]["timesteps" if own else "num_timesteps"] = timesteps
            learner.restore(state, None)
        return learner._task.observations if own else learner.model._last_obs

    first, second, third = begins(0), begins(1000), begins(2000)
    assert not (first == second).any()
    assert not (second == third).any()
    assert (second == begins(1000)).all(), "a life that is lost and begun anew is the same"


def test_an_environment_may_be_left_out_of_checkpoints(tmp_path: Path) -> None:
    spec = {"environment": {"id": "tasks:Session-v0"}, "checkpoint": {"every": 1000, "environment": False}}
    trained = train_in_pieces(tmp_path, (3,), **spec)
    assert trained.resumed_from
    for path in (tmp_path / "here").glob("*.ckpt"):
        assert checkpoint.COLLECTION not in checkpoint.unpack(path.read_bytes()).parts


def test_running_statistics_outlive_the_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a policy takes for the mean of its observations belongs to the policy, not to its environments."""
    spec = {
        "normalize": {"observation": True, "reward": True},
        "checkpoint": {"every": 1000, "environment": False},
        "budget": {"steps": 2048},
    }
    counts = []
    restore = StableBaselines.restore

    def watched(self: StableBaselines, state: Any, collection: Any) -> None:
        restore(self, state, collection)
        counts.append(self.model.get_vec_normalize_env().obs_rms.count)

    monkeypatch.setattr(StableBaselines, "restore", watched)
    trained = train_in_pieces(tmp_path, (7,), **spec)
    assert trained.resumed_from
    assert counts[0] > trained.resumed_from, "every observation so far"


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_a_round_of_ours_is_one_of_the_librarys(algorithm: str) -> None:
    """Our own loop over the library's parts ends with the bits of the library's `learn`."""
    spec = _brief(algorithm) | {"normalize": {"observation": algorithm != "maskablePPO", "reward": True}}
    ours, theirs = (build(Run(make_config(**spec), index=0, seed=5)) for _ in range(2))
    for learner, go in ((ours, _advance), (theirs, lambda learner: learner.model.learn(250, log_interval=None))):
        learner.model.set_random_seed(5)  # of the process: the two are not built at once
        go(learner)
    assert ours.timesteps == theirs.timesteps >= 250
    assert ours.weights_sha256() == theirs.weights_sha256()


def test_weights_that_are_put_back_bring_their_layers_statistics() -> None:
    learner = build(Run(make_config(**_brief("crossq")), index=0, seed=0))
    _advance(learner, 120)
    kept, digest = learner.weights(), learner.weights_sha256()
    _advance(learner, 140)
    assert learner.weights_sha256() != digest
    learner.take(kept)
    assert learner.weights_sha256() == digest


def _brief(algorithm: str) -> dict[str, Any]:
    """Return a training in which every part of an algorithm is at work."""
    learner, small = LEARNERS[algorithm], SMALL_ON_POLICY.get(algorithm, {})
    return {
        "environment": {"id": "Pendulum-v1"} if "box" in learner.actions else task_for(algorithm),
        "algorithm": {algorithm: SMALL if issubclass(learner, OffPolicy) else small},
        "budget": {"steps": 250},
    }


def _advance(learner: Any, until: int = 250) -> None:
    if not learner.timesteps:
        learner.start()
    learner.advance(until, leave=lambda: False, on_step=lambda: None)


def test_running_statistics_of_a_layer_that_are_no_numbers_are_found() -> None:
    learner = build(Run(make_config(**_brief("crossq")), index=0, seed=0))
    assert learner.finite()
    name = next(name for name, _ in learner.model.policy.named_buffers() if name.endswith("ra_mean"))
    learner.model.policy.get_buffer(name)[0] = float("nan")
    assert not learner.finite()


def test_an_attribute_that_the_library_has_no_more_is_an_error() -> None:
    learner = build(Run(make_config(), index=0, seed=0))
    learner.start()
    state = learner.state()
    del learner.model._n_updates
    with pytest.raises(AttributeError, match="_n_updates"):
        learner.state()
    with pytest.raises(AttributeError, match="no attribute _n_updates any more"):
        learner.restore(state, None)


def test_a_checkpoint_nobody_can_read_is_unusable() -> None:
    with pytest.raises(checkpoint.Unusable, match="another format"):
        checkpoint.unpack(b"no checkpoint")
    with pytest.raises(checkpoint.Unusable, match="head"):
        checkpoint.unpack(checkpoint.MAGIC + b"\0" * 8)
    blob = checkpoint.pack({"weights": [1, 2], "random": 3}, None)
    with pytest.raises(checkpoint.Unusable, match="part random"):
        checkpoint.unpack(blob[:-1] + b"x")
    found = checkpoint.unpack(blob)
    assert found.read() == {"weights": [1, 2], "random": 3}
    assert found.collection() is None


def test_a_part_that_cannot_be_read_loses_the_episodes_or_the_checkpoint(caplog: pytest.LogCaptureFixture) -> None:
    found = checkpoint.Checkpoint({"weights": b"no pickle", checkpoint.COLLECTION: b"no pickle"})
    with caplog.at_level(logging.WARNING):
        assert found.collection() is None
    assert "new episodes begin" in caplog.text
    with pytest.raises(checkpoint.Unusable, match="weights"):
        found.read()
