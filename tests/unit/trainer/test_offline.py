"""Algorithms that learn from a dataset, on logs whose right answer is known some other way."""

import dataclasses
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_files import columns, minari, parquet
from gymnasium import spaces
from offline_worlds import one_step, play, strays, write
from trainer_configs import make_config

from belay_api.dataset import DatasetSpec, FloorVerdict
from belay_api.spaces import BoxSpace
from belay_trainer import datasets, train
from belay_trainer.config import Run
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration
from belay_trainer.learners import FROM_DATASET, build_from_dataset
from belay_trainer.learners.iql import expectile_loss
from belay_trainer.learners.offline.learner import OfflineLearner
from belay_trainer.learners.offline.transitions import Transitions
from belay_trainer.offline import floor, held_out
from belay_trainer.offline.data import Data, HeldOutParts, load
from belay_trainer.offline.from_dataset import FromDataset

QUICK = {"net_arch": [32], "learning_rate": 3e-3, "batch_size": 64}
SPEC = {"environment": None, "dataset": {"path": "log.parquet"}}


def learn(
    log: Dataset,
    algorithm: str,
    *,
    steps: int,
    choices: int = 2,
    normalize: dict[str, bool] | None = None,
    **settings: Any,
) -> OfflineLearner[Any]:
    """Learn from all of a log for some gradient steps; an action is a choice, or numbers from -1 to 1."""
    action = spaces.Discrete(choices) if log.discrete else spaces.Box(-1.0, 1.0, log.actions.shape[1:])
    data = Data(log, None, spaces.Box(-np.inf, np.inf, log.observations.shape[1:]), action, sha256="0" * 64)
    config = make_config(**SPEC, algorithm={algorithm: QUICK | settings}, normalize=normalize or {})
    learner = FROM_DATASET[algorithm](Run(config, 0, 0), data)
    learner.advance(steps, leave=lambda: False, on_step=lambda: None)
    return learner


def bandit(seed: int = 0, n: int = 1000) -> Dataset:
    """Actions from -1 to 1, of which .5 pays best and all are as likely."""
    actions = np.random.default_rng(seed).uniform(-1, 1, (n, 1)).astype(np.float32)
    return one_step(actions, 1 - (actions[:, 0] - 0.5).astype(float) ** 2)


def choices(shares: tuple[float, ...], rewards: tuple[float, ...], n: int = 2000) -> Dataset:
    """One choice an episode, taken in exactly these shares."""
    actions = np.repeat(np.arange(len(shares)), [round(n * share) for share in shares])
    return one_step(actions, np.array(rewards)[actions])


def action_of(learner: OfflineLearner[Any]) -> float:
    """What it does in the one observation of a bandit."""
    return float(learner.policy.predict(np.zeros((1, 1), np.float32), deterministic=True)[0].item())


# --- each algorithm's own answer -------------------------------------------------------------------------------------
def test_bc_is_as_likely_to_take_an_action_as_the_log() -> None:
    shares = (0.6, 0.3, 0.1)
    bc = learn(choices(shares, (0.0, 0.0, 1.0)), "bc", steps=200, batch_size=256, learning_rate=0.01, choices=3)
    with torch.no_grad():
        logits = bc.networks().actor(torch.zeros(1, 1))
    assert torch.softmax(logits, dim=1)[0].tolist() == pytest.approx(shares, abs=0.03)
    assert action_of(bc) == 0


def test_bc_of_numbers_has_the_logs_mean_and_spread() -> None:
    actions = np.random.default_rng(1).normal(0.2, 0.25, (2000, 1)).clip(-1, 1)
    bc = learn(
        one_step(actions.astype(np.float32), np.zeros(2000)), "bc", steps=250, batch_size=256, learning_rate=0.01
    )
    with torch.no_grad():
        mean, log_std = bc.networks().actor(torch.zeros(1, 1))[0].tolist()
    assert (mean, math.exp(log_std)) == pytest.approx((actions.mean(), actions.std()), abs=0.03)


@pytest.mark.parametrize("expectile", [0.1, 0.5, 0.7, 0.9])
def test_the_expectile_is_of_q_less_v(expectile: float) -> None:
    quality = torch.tensor(np.random.default_rng(0).gamma(1.0, size=500))
    value = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([value], max_iter=50)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = expectile_loss(quality - value, expectile)
        loss.backward()
        return loss

    optimiser.step(closure)
    # What an expectile is by its definition: what lies above and what lies below balance as 1 - τ to τ.
    found, seen = float(value), quality.numpy()
    above, below = np.maximum(seen - found, 0).mean(), np.maximum(found - seen, 0).mean()
    assert expectile * above == pytest.approx((1 - expectile) * below, rel=1e-4)
    assert (found > seen.mean()) == (expectile > 0.5) or expectile == 0.5


def test_an_action_counts_at_most_max_weight_in_iql() -> None:
    # Choice 1 is better by 100 and taken once in 50: without a bound it would have all the probability.
    log = choices((0.98, 0.02), (0.0, 100.0))
    settings = {"steps": 150, "batch_size": 128, "learning_rate": 0.01, "normalize": {"reward": False}}
    bounded = learn(log, "iql", max_weight=1.0, **settings)
    assert action_of(bounded) == 0
    assert action_of(learn(log, "iql", max_weight=1000.0, **settings)) == 1


@pytest.mark.parametrize("algorithm", ["td3bc", "iql", "cql"])
def test_the_better_of_the_logged_numbers_are_found(algorithm: str) -> None:
    # The mean of the log is 0, which is what a copy does; .5 pays best. CQL with alpha 1 is nearly a copy here, where
    # rewards differ by less than its pull.
    settings = {"cql": {"alpha": 0.05, "actor_learning_rate": 5e-3, "n_actions": 2}, "iql": {"temperature": 10.0}}
    learner = learn(bandit(), algorithm, steps=200, learning_rate=0.01, **settings.get(algorithm, {}))
    copied = float(learner.from_dataset.floor.predict(np.zeros((1, 1), np.float32), deterministic=True)[0].item())
    assert abs(copied) < 0.12
    assert action_of(learner) > copied + 0.15


def test_what_was_never_logged_is_worth_less_in_cql() -> None:
    log = choices((0.5, 0.5), (1.0, 1.0))
    cql = learn(log, "cql", steps=200, alpha=1.0, choices=3)
    with torch.no_grad():
        first, second, never = cql.networks().actor(torch.zeros(1, 1))[0].tolist()
    assert (first, second) == pytest.approx((1.0, 1.0), abs=0.35)
    assert never < min(first, second) - 1.0


def test_cqls_values_are_as_conservative_as_its_formula_says() -> None:
    shares, rewards, alpha = np.array([0.7, 0.3]), np.array([0.0, 1.0]), 0.3
    # Where its gradient is 0, with π the softmax of Q: share · (Q - reward) + alpha · (π - share) = 0.
    wanted = rewards.copy()
    for _ in range(1000):
        chance = np.exp(wanted) / np.exp(wanted).sum()
        wanted += 0.1 * (rewards - alpha * (chance / shares - 1) - wanted)
    assert chance @ wanted < chance @ rewards - 0.02, "the value lies below what is earned"

    log = choices(tuple(shares), tuple(rewards))
    settings = {"steps": 250, "learning_rate": 0.01, "batch_size": 256, "normalize": {"reward": False}}
    for pull, values in ((alpha, wanted), (0.0, rewards)):
        cql = learn(log, "cql", alpha=pull, **settings)
        with torch.no_grad():
            found = cql.networks().actor(torch.zeros(1, 1))[0].tolist()
        assert found == pytest.approx(values, abs=0.06)


# --- what all have in common -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("algorithm", "discrete"),
    [(name, kind) for name in FROM_DATASET for kind in (True, False) if name != "td3bc" or not kind],
)
def test_left_anywhere_and_resumed_it_ends_with_the_same_bits(algorithm: str, *, discrete: bool) -> None:
    log = choices((0.5, 0.5), (1.0, 0.0)) if discrete else bandit()
    settings = {"net_arch": [8], "batch_size": 16} | ({"n_actions": 2} if algorithm == "cql" else {})
    whole = learn(log, algorithm, steps=23, **settings)

    first = learn(log, algorithm, steps=9, **settings)
    state = pickle.loads(pickle.dumps({"learner": first.state(), "torch": torch.get_rng_state()}))
    second = learn(log, algorithm, steps=3, **settings)  # which has drawn something else
    second.restore(state["learner"], first.collection())
    torch.set_rng_state(state["torch"])
    second.advance(23, leave=lambda: False, on_step=lambda: None)
    assert second.weights_sha256() == whole.weights_sha256() != first.weights_sha256()
    assert second.timesteps == 23


def test_it_is_left_when_it_is_to_be() -> None:
    learner = learn(bandit(), "bc", steps=0)
    answers = iter([False, False, True])
    learner.advance(100, leave=lambda: next(answers), on_step=lambda: None)
    assert learner.timesteps == 2


def test_taken_back_weights_are_the_earlier_policys() -> None:
    learner = learn(bandit(), "iql", steps=20)
    kept, digest = learner.weights(), learner.weights_sha256()
    learner.advance(60, leave=lambda: False, on_step=lambda: None)
    assert learner.weights_sha256() != digest
    learner.take(kept)
    assert (learner.weights_sha256(), learner.timesteps) == (digest, 20)


def test_the_logs_scale_is_part_of_the_network() -> None:
    generator = np.random.default_rng(0)
    log = one_step(generator.integers(2, size=400), generator.normal(size=400))
    wide = Dataset(
        **{name: getattr(log, name) for name in log.__slots__}
        | {"observations": (generator.normal(size=(400, 3)) * [1, 100, 0.01] + [0, 5000, 3]).astype(np.float32)}
    )
    learner = learn(wide, "bc", steps=5)
    rows = learner.data.learning.observations
    normalised = learner.transitions._observations[: len(rows)]
    assert normalised.mean(dim=0).tolist() == pytest.approx([0, 0, 0], abs=1e-3)
    assert normalised.std(dim=0).tolist() == pytest.approx([1, 1, 1], abs=0.02)
    with torch.no_grad():
        served = learner.networks().actor(torch.from_numpy(rows))
        trained = learner.actor(normalised)
    assert torch.equal(served, trained)


def test_a_log_of_which_nothing_is_known_to_follow_is_refused(tmp_path: Path) -> None:
    """Decisions of one timestep that were logged as cut: nobody says that they ended, nor what came next."""
    cut = columns(
        episode=list("abcde"), step=np.zeros(5, int), terminated=np.zeros(5, bool), truncated=np.ones(5, bool)
    )
    log, _ = datasets.read(parquet(tmp_path / "log.parquet", cut))
    with pytest.raises(BadConfiguration, match="nothing can be learned from 5 timesteps of 5 episodes"):
        learn(log, "bc", steps=1)


def test_what_follows_is_the_next_row_or_what_was_logged_behind_the_last() -> None:
    log = Dataset(
        observations=np.arange(10.0).reshape(5, 2),
        actions=np.array([0, 1, 0, 1, 1]),
        rewards=np.arange(5.0),
        starts=np.array([0, 2, 4, 5]),
        terminated=np.array([True, False, False]),
        ids=("ends", "cut", "unknown"),
        last_observations=np.array([[0.0, 0.0], [70.0, 71.0], [0.0, 0.0]]),
        last_known=np.array([False, True, False]),
    )
    found = Transitions(log, normaliser=None, reward_scale=2.0, device=torch.device("cpu"))
    assert len(found) == 4, "what followed the last row is not known, and it did not end there"
    batch = found.draw(200, np.random.default_rng(0))
    seen = {
        tuple(row[0].tolist()): (int(row[1]), float(row[2]), tuple(row[3].tolist()), float(row[4]))
        for row in zip(batch.observation, batch.action, batch.reward, batch.following, batch.ended, strict=True)
    }
    assert seen[0.0, 1.0] == (0, 0.0, (2.0, 3.0), 0.0)
    assert seen[2.0, 3.0] == (1, 0.5, (0.0, 0.0), 1.0)
    assert seen[4.0, 5.0] == (0, 1.0, (6.0, 7.0), 0.0)
    assert seen[6.0, 7.0] == (1, 1.5, (70.0, 71.0), 0.0)
    assert len(seen) == 4


def test_values_are_in_the_rewards_own_unit() -> None:
    log = choices((0.5, 0.5), (400.0, 600.0))
    iql = learn(log, "iql", steps=150, expectile=0.5, tau=0.1, learning_rate=0.01)
    assert iql.reward_scale == pytest.approx(500)
    assert iql.values(np.zeros((1, 1), np.float32))[0] == pytest.approx(500, rel=0.05)


# --- beside behaviour cloning ----------------------------------------------------------------------------------------
def test_what_follows_the_end_of_a_task_may_be_no_number() -> None:
    """It is worth nothing; but nothing times no number is none, and every target of the batch would be."""
    log = bandit(n=20)
    follows = np.full_like(log.observations[: log.episodes], np.nan)
    known = dataclasses.replace(log, last_observations=follows, last_known=np.zeros(log.episodes, dtype=bool))
    batch = Transitions(known, normaliser=None, reward_scale=1.0, device=torch.device("cpu")).draw(
        50, np.random.default_rng(0)
    )
    assert torch.isfinite(batch.following).all()


@pytest.mark.parametrize("episodes", [10, 100])
def test_equal_policies_are_told_apart_in_one_report_of_twenty(episodes: int) -> None:
    generator, reports = np.random.default_rng(3), 2000
    wrong = 0
    for _ in range(reports):
        hard = generator.normal(size=episodes) * 50  # some starts are hard for both
        one, other = hard + generator.normal(size=episodes), hard + generator.normal(size=episodes)
        wrong += floor.by_returns(one, other).verdict is not FloorVerdict.NOT_TOLD_APART
    # 100 of 2000 are expected, 9.7 is their standard deviation; neither too many nor, by too wide an interval, too few.
    assert 62 <= wrong <= 138


def test_a_better_and_a_worse_policy_are_told() -> None:
    copied = np.random.default_rng(0).normal(100, 10, 50)
    assert floor.by_returns(copied + 1, copied).verdict is FloorVerdict.BETTER
    worse = floor.by_returns(copied - 1, copied)
    assert (worse.verdict, worse.return_) == (FloorVerdict.WORSE, copied.mean())
    assert worse.difference == pytest.approx(-1)


def test_of_a_few_episodes_nothing_is_told() -> None:
    found = floor.by_returns(np.ones(5), np.zeros(5))
    assert (found.verdict, found.difference, found.low) == (FloorVerdict.NOT_TOLD_APART, 1.0, None)


def test_a_copy_is_chosen_by_how_likely_held_out_actions_are() -> None:
    bc = learn(choices((0.6, 0.4), (0.0, 1.0)), "bc", steps=50)
    unlike = choices((0.1, 0.9), (0.0, 1.0))
    data = dataclasses.replace(bc.data, held_out=HeldOutParts(unlike, unlike))
    chooser = held_out.HeldOut(FromDataset(data, None, bc.chosen_by), discount=bc.discount)
    with torch.no_grad():
        chances = torch.log_softmax(bc.networks().actor(torch.zeros(1, 1)), dim=1)[0].tolist()
    found = chooser(bc.policy, step=50)
    assert found.score == pytest.approx(0.1 * chances[0] + 0.9 * chances[1], abs=1e-5)
    assert (found.report, found.played) == (None, {})


def test_an_estimate_from_held_out_episodes_holds_the_truth(tmp_path: Path) -> None:
    log = play("offline_worlds:LoggedCorridor-v0", [(strays(0.45), 1500)])
    spec = SPEC | {"dataset": {"path": str(write(tmp_path / "log.parquet", log))}, "algorithm": {"iql": QUICK}}
    iql = build_from_dataset(Run(make_config(**spec), 0, 0))
    iql.advance(200, leave=lambda: False, on_step=lambda: None)
    parts = iql.data.held_out
    assert sorted([*parts.choosing.ids, *parts.measuring.ids, *iql.data.learning.ids]) == sorted(log.ids)
    found = held_out.judged(parts.measuring, iql.policy, discount=iql.discount)
    interval = found.judgement.headline.found
    assert interval.low <= 0.99 <= interval.high, "two steps to the right: 1, discounted once"
    below = floor.by_estimates(found, held_out.judged(parts.measuring, iql.from_dataset.floor, discount=iql.discount))
    assert below.verdict is FloorVerdict.BETTER


# --- bad input -------------------------------------------------------------------------------------------------------
FEW = columns(
    episode=[str(row // 2) for row in range(40)],
    step=np.arange(40) % 2,
    observation=np.arange(80.0).reshape(40, 2),
    action=np.arange(40) % 2,
    reward=np.ones(40),
    terminated=np.arange(40) % 2 == 1,
    truncated=np.zeros(40, bool),
    propensity=None,
)
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "a missing column": (
        {"reward": None, "rewards": np.ones(40)}, {}, ["dataset.path", "`reward`", "there is `rewards`"],
    ),
    "a reward that is none": (
        {"reward": np.where(np.arange(40) == 7, np.nan, 1)}, {}, ["`reward`", "step 1 of episode `3`"],
    ),
    "a choice that there is not": (
        {"action": np.arange(40) % 3}, {"dataset": {"actions": {"choices": 2}}}, ["`action` holds 2", "from 0 to 1"],
    ),
    "a number outside": (
        {"action": np.linspace(-3, 1, 40)}, {"dataset": {"actions": {"low": [-1], "high": [1]}}},
        ["`action` holds -3", "step 0 of episode `0`", "-1 to 1"],
    ),
    "too few to hold back": ({}, {"dataset": {"heldOut": 0.02}}, ["dataset.heldOut", "of 20 episodes"]),
    "no time to split by": ({}, {"dataset": {"split": "time"}}, ["dataset.split", "column `time`"]),
    "another task's actions": ({}, {"algorithm": {"td3bc": {}}}, ["algorithm.td3bc", "use bc, iql or cql"]),
    "another task's observations": (
        {}, {"evaluation": {"environment": {"id": "CartPole-v1"}}}, ["`observation` has 2 numbers", "Box(4,)"],
    ),
    "an environment that there is not": (
        {}, {"evaluation": {"environment": {"id": "CartPol-v1"}}}, ["evaluation.environment", "CartPol"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_by_name(tmp_path: Path, case: str) -> None:
    changed, spec, words = REFUSED[case]
    path = parquet(tmp_path / "log.parquet", {k: v for k, v in (FEW | changed).items() if v is not None})
    parts = {"environment": None, "algorithm": {"bc": {}}} | spec
    parts["dataset"] = {"path": str(path)} | spec.get("dataset", {})
    with pytest.raises(BadConfiguration) as refused:
        train.build(Run(make_config(**parts), 0, 0))
    for word in words:
        assert word in str(refused.value)


def test_by_time_the_latest_episodes_are_held_back_and_those_that_measure_are_the_last(tmp_path: Path) -> None:
    began = np.random.default_rng(0).permutation(20)  # of each episode: the file's order says nothing
    path = parquet(tmp_path / "log.parquet", {**FEW, "time": np.repeat(began, 2) * 60.0})
    spec = {"path": str(path), "heldOut": 0.4, "split": "time"}
    data = load(DatasetSpec.model_validate(spec), None)
    assert data.held_out is not None
    parts = [data.learning, data.held_out.choosing, data.held_out.measuring]
    assert [sorted(part.times // 60) for part in parts] == [list(range(12)), list(range(12, 16)), list(range(16, 20))]
    drawn = load(DatasetSpec.model_validate(spec | {"split": None}), None)
    assert drawn.learning.ids != data.learning.ids


def test_a_missing_file_is_told_with_its_neighbour(tmp_path: Path) -> None:
    parquet(tmp_path / "cartpole.parquet", columns())
    spec = {"environment": None, "algorithm": {"bc": {}}, "dataset": {"path": str(tmp_path / "cartpol.parquet")}}
    with pytest.raises(BadConfiguration, match=r"dataset\.path.*beside it lies 'cartpole\.parquet'"):
        train.build(Run(make_config(**spec), 0, 0))


# --- Minari ----------------------------------------------------------------------------------------------------------
def test_a_minari_dataset_says_which_actions_there_are(tmp_path: Path) -> None:
    minari(tmp_path / "data" / "main_data.hdf5")
    metadata = tmp_path / "data" / "metadata.json"
    # As Minari 0.5.4 writes it: spaces are JSON in a string.
    space = {"type": "Box", "dtype": "float32", "shape": [1], "low": [-2.0], "high": [math.inf]}
    metadata.write_text(json.dumps({"total_episodes": 2, "data_format": "hdf5", "action_space": json.dumps(space)}))
    dataset, _ = datasets.read(tmp_path)
    assert dataset.action == BoxSpace(shape=[1], dtype="float32", low=[-2.0], high=[None])
    assert (dataset.episodes, dataset.timesteps) == (2, 5)
    metadata.write_text('{"data_format": "arrow"}')
    with pytest.raises(BadConfiguration, match="'arrow', wanted 'hdf5'"):
        datasets.read(tmp_path)
