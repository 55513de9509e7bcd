"""Real trainings, each broken in one way, whose first finding is that one; and healthy ones that are told nothing.

The checks themselves: tests/unit/diagnosis. Healthy trainings of some length: tests/long/trainer.
"""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from trainer_configs import make_config
from trainer_support import LogbookServer, Pods, StopAfter, task_for, train_in

from belay_api.findings import Finding
from belay_api.reasons import FindingReason as R
from belay_api.training import TrainingReport
from belay_trainer.config import Run
from belay_trainer.environments import maker
from belay_trainer.errors import Diverged, Interrupted
from belay_trainer.heartbeat import Heartbeat
from belay_trainer.keeper import Keeper
from belay_trainer.learners import LEARNERS
from belay_trainer.report import LIMIT, encode
from belay_trainer.stop import Stop
from belay_trainer.store.folder import FolderStore
from belay_trainer.train import build, train

QUICK = {"n_epochs": 2}
FAST = {"learning_rate_schedule": "constant", "n_epochs": 20, "n_steps": 64}
EACH_STEP = {"train_freq": 1, "gradient_steps": 1, "target_update_gradient_steps": 1, "learning_starts": 100}
RUNAWAY = EACH_STEP | {"learning_rate": 0.003, "gamma": 0.9, "net_arch": [64], "exploration_steps": 10_000}
SMALL = {"learning_starts": 100, "net_arch": [32, 32], "batch_size": 64}


def corridor(fault: str) -> dict[str, Any]:
    return {"id": "broken:Corridor-v0", "kwargs": {"fault": fault}}


def spec(environment: dict[str, Any], algorithm: dict[str, Any], steps: int, looks: int = 2) -> dict[str, Any]:
    return {
        "environment": environment,
        "algorithm": algorithm,
        "budget": {"steps": steps},
        "evaluation": {"every": steps // looks, "episodes": 5},
        "checkpoint": {"every": steps},
    }


CARTPOLE, PENDULUM = {"id": "CartPole-v1"}, {"id": "Pendulum-v1"}
BROKEN = {
    "sign": (R.REWARD_SIGN_FLIPPED, spec({"id": "broken:Flipped-v0"}, {"ppo": QUICK}, 4_096)),
    "constant": (R.REWARD_CONSTANT, spec(corridor("constant"), {"ppo": QUICK}, 4_096)),
    "unpaid": (R.TERMINAL_REWARD_MISSING, spec(corridor("unpaid"), {"ppo": QUICK}, 8_192, looks=4)),
    "outside": (R.OBSERVATION_OUTSIDE_SPACE, spec(corridor("outside"), {"ppo": QUICK}, 2_048)),
    "blind": (R.OBSERVATION_CONSTANT, spec(corridor("blind"), {"ppo": QUICK}, 2_048)),
    "deaf": (R.ACTIONS_WITHOUT_EFFECT, spec(corridor("deaf"), {"ppo": QUICK}, 1_024)),
    "leaky": (R.RESET_LEAVES_STATE, spec(corridor("leaky"), {"ppo": QUICK}, 1_024)),
    "chancy": (R.NOT_DETERMINISTIC, spec(corridor("chancy"), {"dqn": {}}, 1_000)),
    "limit": (R.TIME_LIMIT_TERMINATES, spec(corridor("limit"), {"a2c": {}}, 2_048)),
    "runaway": (R.VALUES_OUT_OF_BOUNDS, spec(CARTPOLE, {"dqn": RUNAWAY}, 2_000)),
    "rich": (R.VALUES_NEAR_ZERO, spec(corridor("rich"), {"dqn": {"train_freq": 1}}, 2_240)),
    "still": (R.WEIGHTS_STAND_STILL, spec(CARTPOLE, {"ppo": {"learning_rate": 1e-12}}, 2_048)),
    "epsilon": (
        R.NO_EXPLORATION,
        spec({"id": "MountainCar-v0"}, {"dqn": {"exploration_initial_eps": 0.0, "exploration_final_eps": 0.0}}, 1_000),
    ),
    "steps": (R.UPDATES_TOO_LARGE, spec(CARTPOLE, {"ppo": {"learning_rate": 1.0}}, 2_048)),
    "certain": (R.ENTROPY_COLLAPSED, spec(CARTPOLE, {"ppo": FAST | {"learning_rate": 0.1}}, 3_072, looks=3)),
    "jumps": (R.POLICY_JUMPS, spec(PENDULUM, {"ppo": FAST | {"learning_rate": 0.03}}, 2_048)),
}
HEALTHY = {
    "ppo": spec(CARTPOLE, {"ppo": {}}, 3_072, looks=3),
    "dqn": spec(CARTPOLE, {"dqn": {}}, 3_000, looks=3),
    "a2c": spec(CARTPOLE, {"a2c": {}}, 3_000, looks=3),
    "ppo-scaled": spec(CARTPOLE, {"ppo": {}}, 3_072, looks=3) | {"normalize": {"observation": True, "reward": True}},
    "sac": spec(PENDULUM, {"sac": SMALL}, 400),
    "td3": spec(PENDULUM, {"td3": SMALL}, 600),
    "corridor": spec(corridor(""), {"dqn": {}}, 2_000),
    "discrete-observations": spec({"id": "tasks:Rooms-v0"}, {"ppo": QUICK}, 2_048),
}


def findings(root: Path, wanted: dict[str, Any], seed: int = 0) -> list[str]:
    run = Run(make_config(**wanted), index=0, seed=seed)
    keeper = Keeper(root / "here", FolderStore(root, claim="c", seed="u/0"), keep=1)
    try:
        return [
            one.reason for one in train(run, keeper=keeper, heartbeat=Heartbeat(None, "demo"), stop=Stop()).findings
        ]
    finally:
        keeper.close()


@pytest.mark.parametrize(("reason", "wanted"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_training_is_told_what_is_broken_first(tmp_path: Path, reason: R, wanted: dict[str, Any]) -> None:
    assert findings(tmp_path, wanted)[:1] == [reason]


@pytest.mark.parametrize("wanted", HEALTHY.values(), ids=HEALTHY.keys())
def test_a_healthy_training_that_has_not_learned_yet_is_told_nothing(tmp_path: Path, wanted: dict[str, Any]) -> None:
    assert findings(tmp_path, wanted) == []


def test_a_training_that_diverges_says_why_in_its_last_word(tmp_path: Path) -> None:
    """The API takes no learning rate above 1; a program that calls the trainer may well try."""
    config = make_config(**spec(CARTPOLE, {"ppo": {}}, 4_096))
    settings = config.spec.algorithm.settings.model_copy(update={"learning_rate": 1e3})
    algorithm = config.spec.algorithm.model_copy(update={"ppo": settings})
    wanted = config.model_copy(update={"spec": config.spec.model_copy(update={"algorithm": algorithm})})
    keeper = Keeper(tmp_path / "here", FolderStore(tmp_path, claim="c", seed="u/0"), keep=1)
    try:
        trained = train(Run(wanted, index=0, seed=0), keeper=keeper, heartbeat=Heartbeat(None, "demo"), stop=Stop())
        found = trained.findings
    except Diverged as error:
        found = error.findings
    finally:
        keeper.close()
    assert [one.reason for one in found] == [R.UPDATES_TOO_LARGE], "and not what follows from it"


def test_a_pod_tells_the_logbook_and_leaves_it_in_its_report(pods: Pods, logbook: LogbookServer) -> None:
    wanted = BROKEN["deaf"][1] | {"evaluation": {"every": 512, "episodes": 5, "finalEpisodes": 5}}
    pod = pods.run(make_config(**wanted), logbook=logbook.url)
    assert [one.reason for one in pod.report.findings] == [R.ACTIONS_WITHOUT_EFFECT]
    assert "ActionsWithoutEffect: From one seed" in pod.log
    with httpx.Client(base_url=logbook.url, trust_env=False) as client:
        (item,) = client.get("/v1/progress").json()["items"]
    assert [one["reason"] for one in item["findings"]] == [R.ACTIONS_WITHOUT_EFFECT]


def test_what_was_found_outlives_the_pod(tmp_path: Path) -> None:
    wanted = spec(corridor("deaf"), {"ppo": {"n_steps": 32} | QUICK}, 2_048) | {"checkpoint": {"every": 256}}
    with pytest.raises(Interrupted):
        train_in(tmp_path, StopAfter(120), **wanted)
    trained = train_in(tmp_path, **wanted)
    assert trained.resumed_from, "it began anew: this shows nothing"
    assert [one.reason for one in trained.findings] == [R.ACTIONS_WITHOUT_EFFECT]


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_every_learner_tells_what_the_diagnosis_reads(algorithm: str) -> None:
    task = task_for(algorithm)
    learner = build(Run(make_config(environment=task, algorithm={algorithm: {}}), index=0, seed=0))
    environment = maker(make_config(environment=task).spec.environment)()
    observations = np.stack([np.asarray(environment.reset(seed=seed)[0]) for seed in range(3)])
    internals, values = learner.internals(), learner.values(observations)
    assert internals.gradient_steps == 0
    assert internals.weights.ndim == 1
    assert len(internals.weights) > 100
    assert 0 < learner.discount < 1
    if algorithm == "recurrentPPO":  # what it expects hangs on what it remembers
        assert values is None
    else:
        assert values.shape == (3,)


def test_values_are_in_the_environments_own_rewards() -> None:
    scaled = {"normalize": {"observation": False, "reward": True}}
    learner: Any = build(Run(make_config(**scaled), index=0, seed=0))
    observations = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    learner.model.env.ret_rms.var = 1.0
    one = learner.values(observations)
    learner.model.env.ret_rms.var = 100.0
    np.testing.assert_allclose(learner.values(observations), 10 * one, rtol=1e-4)


def test_a_reward_that_was_not_noted_is_known_all_the_same() -> None:
    learner: Any = build(Run(make_config(environment=corridor("")), index=0, seed=0))
    learner.start()
    learner.advance(2_048, leave=lambda: False, on_step=lambda: None)
    assert learner.internals().rewards == (0.0, 1.0)


def test_gradient_steps_are_counted_in_minibatches() -> None:
    settings = {"n_steps": 32, "batch_size": 64, "n_epochs": 3}
    learner: Any = build(Run(make_config(algorithm={"ppo": settings}), index=0, seed=0))
    counted = []
    learner.model.policy.optimizer.register_step_post_hook(lambda *_: counted.append(1))
    learner.start()
    learner.advance(512, leave=lambda: False, on_step=lambda: None)
    assert learner.internals().gradient_steps == len(counted) == 2 * 3 * 4


def test_findings_that_do_not_fit_leave_the_last_out() -> None:
    many = [Finding(reason="RewardConstant", message="x" * 500, advice="\U0001f600" * 100)] * 3
    content = encode(TrainingReport(outcome="Error", index=0, seed=0, message="why " * 2_000, findings=many))
    assert len(content) <= LIMIT
    read = TrainingReport.model_validate_json(content)
    assert 1 <= len(read.findings) < 3
