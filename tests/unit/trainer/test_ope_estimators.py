"""Estimators against values that are known: by hand, and from the equations of a task."""

import numpy as np
import pytest
from ope_worlds import DISCOUNT, LOGGING, TARGET, Table, small_world

from belay_trainer.datasets.dataset import Dataset
from belay_trainer.ope.estimators import ESTIMATORS
from belay_trainer.ope.estimators.estimator import effective_size
from belay_trainer.ope.logged import Logged
from belay_trainer.ope.model import RIDGE, Model, fit_model

MANY = 40_000
SURE = 4.0  # standard errors
WORLD = small_world()
TRUTH = WORLD.value(TARGET, DISCOUNT)


def estimate(logged: Logged, name: str) -> float:
    return ESTIMATORS[name].estimate(logged).estimated.value


def stderr(logged: Logged, name: str) -> float:
    return float(ESTIMATORS[name].estimate(logged).estimated.influences.std() / np.sqrt(logged.episodes))


@pytest.fixture(scope="module")
def logged() -> Logged:
    return Logged(WORLD.log(LOGGING, MANY, np.random.default_rng(1)), TARGET, discount=DISCOUNT)


def test_the_world_tells_policies_apart() -> None:
    assert TRUTH - WORLD.value(LOGGING, DISCOUNT) > 0.5


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_known_value_is_found(logged: Logged, name: str) -> None:
    spread = stderr(logged, name)
    assert spread < 0.06, "too coarse a test to notice anything"
    assert abs(estimate(logged, name) - TRUTH) < SURE * spread


@pytest.mark.parametrize("name", ["is", "pdis", "dr"])
def test_small_logs_are_unbiased(name: str) -> None:
    generator = np.random.default_rng(2)
    found = [estimate(Logged(WORLD.log(LOGGING, 20, generator), TARGET, discount=DISCOUNT), name) for _ in range(600)]
    assert abs(np.mean(found) - TRUTH) < SURE * np.std(found) / np.sqrt(len(found))


@pytest.mark.parametrize("name", ["wis", "wpdis", "wdr"])
def test_weighted_means_vary_less_than_plain_ones(name: str) -> None:
    generator = np.random.default_rng(3)
    logs = [Logged(WORLD.log(LOGGING, 50, generator), TARGET, discount=DISCOUNT) for _ in range(200)]
    assert np.std([estimate(log, name) for log in logs]) < np.std([estimate(log, "is") for log in logs])


def test_per_decision_varies_less_than_whole_episodes() -> None:
    generator = np.random.default_rng(4)
    logs = [Logged(WORLD.log(LOGGING, 50, generator), TARGET, discount=DISCOUNT) for _ in range(200)]
    by_name = {name: np.std([estimate(log, name) for log in logs]) for name in ("is", "pdis", "dr")}
    assert by_name["dr"] < by_name["pdis"] < by_name["is"]


def with_model(logged: Logged, action_values: np.ndarray) -> Logged:
    """A model that says these values, (states, actions), and their means under the target."""
    data = logged.dataset
    state = data.observations[:, 0].astype(int)
    values = (TARGET.table * action_values).sum(axis=1)
    said = Logged(data, TARGET, discount=DISCOUNT)
    said.__dict__["model"] = Model(
        value=0.0,
        contributions=np.zeros(data.episodes),
        effective=0.0,
        radius=0.0,
        action_values=action_values[state, data.actions],
        values=values[state],
    )
    return said


@pytest.mark.parametrize("name", ["dr", "wdr"])
def test_right_weights_mend_a_wrong_model(logged: Logged, name: str) -> None:
    wrong = with_model(logged, np.array([[10.0, -3.0], [0.0, 5.0], [-7.0, 2.0]]))
    assert abs(estimate(wrong, name) - TRUTH) < SURE * stderr(wrong, name)


@pytest.mark.parametrize("name", ["dr", "wdr"])
def test_a_right_model_mends_wrong_weights(logged: Logged, name: str) -> None:
    data = logged.dataset
    crooked = Dataset(
        observations=data.observations,
        actions=data.actions,
        rewards=data.rewards,
        starts=data.starts,
        terminated=data.terminated,
        ids=data.ids,
        propensities=np.where(data.actions == 0, 0.45, 0.55),
    )
    wrong = Logged(crooked, TARGET, discount=DISCOUNT)
    right = with_model(wrong, WORLD.action_values(TARGET, DISCOUNT))
    assert abs(estimate(right, name) - TRUTH) < SURE * stderr(right, name)
    assert abs(estimate(wrong, "wpdis") - TRUTH) > SURE * stderr(wrong, "wpdis"), "the weights were not wrong enough"


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_influence_is_what_an_episode_moves(name: str) -> None:
    """Of a log of 3,000 episodes one is taken away, several times."""
    data = WORLD.log(LOGGING, 3_000, np.random.default_rng(9))

    def values(dataset: Dataset) -> Logged:
        found = Logged(dataset, TARGET, discount=DISCOUNT)
        return found if name == "fqe" else with_model(found, np.array([[3.0, 2.0], [1.0, 4.0], [2.0, 5.0]]))

    whole = ESTIMATORS[name].estimate(values(data)).estimated
    assert whole.influences.mean() == pytest.approx(0, abs=1e-9)
    for episode in np.argsort(whole.influences)[[0, 1, 1_500, -2, -1]]:
        moved = estimate(values(data.take(np.delete(np.arange(3_000), episode))), name) - whole.value
        assert moved == pytest.approx(-whole.influences[episode] / 3_000, rel=0.05, abs=2e-6)


def two_episodes(**more: object) -> Dataset:
    """One of two timesteps and one of one, in one state."""
    columns = {
        "observations": np.zeros((3, 1)),
        "actions": np.array([0, 1, 1]),
        "rewards": np.array([1.0, 10.0, 100.0]),
        "starts": np.array([0, 2, 3]),
        "terminated": np.array([True, True]),
        "ids": ("long", "short"),
        "propensities": np.array([0.5, 0.25, 0.5]),
    }
    return Dataset(**(columns | more))


@pytest.mark.parametrize(
    ("name", "wanted"),
    # Weights at 0.75 for action 0: 1.5, then 1.5 · 1; 0.5 for the short episode, which keeps it. Discount 0.5.
    [
        ("is", (1.5 * (1 + 5) + 0.5 * 100) / 2),
        ("pdis", (1.5 * 1 + 1.5 * 5 + 0.5 * 100) / 2),
        ("wis", (1.5 * (1 + 5) + 0.5 * 100) / 2),
        ("wpdis", (1.5 * 1 + 0.5 * 100) / 2 + 0.5 * (1.5 * 10) / 2),
    ],
)
def test_by_hand(name: str, wanted: float) -> None:
    logged = Logged(two_episodes(), Table([[0.75, 0.25]]), discount=0.5)
    assert logged.weights == pytest.approx(np.array([[1.5, 1.5], [0.5, 0.5]]))
    assert estimate(logged, name) == pytest.approx(wanted)


def test_effective_sizes() -> None:
    assert effective_size(np.ones(7)) == pytest.approx(7)
    assert effective_size(np.array([0.0, 3.0, 0.0])) == pytest.approx(1)
    assert effective_size(np.array([1.0, 3.0])) == pytest.approx(1.6)
    assert effective_size(np.array([1e300, 1e300])) == pytest.approx(2), "squares of large weights are no numbers"
    assert effective_size(np.zeros(3)) == 0


def test_the_model_is_where_repeated_regressions_end() -> None:
    data = WORLD.log(LOGGING, 300, np.random.default_rng(5))
    state, rows = data.observations[:, 0].astype(int), np.arange(data.timesteps)
    taken = np.zeros((data.timesteps, 6))
    taken[rows, 2 * np.unique(state, return_inverse=True)[1] + data.actions] = 1
    ends = np.zeros(data.timesteps, dtype=bool)
    ends[data.starts[1:] - 1] = True
    weights = np.zeros(6)
    for _ in range(400):
        values = (weights.reshape(3, 2) * TARGET.table).sum(axis=1)
        target = data.rewards + DISCOUNT * np.where(ends, 0.0, np.append(values[state[1:]], 0.0))
        weights = np.linalg.solve(taken.T @ taken + RIDGE * data.timesteps * np.eye(6), taken.T @ target)
    values = (weights.reshape(3, 2) * TARGET.table).sum(axis=1)

    model = fit_model(data, TARGET, discount=DISCOUNT, seed=0)
    assert model.value == pytest.approx(values[state[data.starts[:-1]]].mean())
    assert model.contributions.mean() == pytest.approx(model.value)
    assert model.radius < DISCOUNT


def test_what_the_model_says_of_its_own_spread_is_what_it_varies_by() -> None:
    generator = np.random.default_rng(6)
    models = [fit_model(WORLD.log(LOGGING, 200, generator), TARGET, discount=DISCOUNT, seed=0) for _ in range(200)]
    told = np.sqrt(np.mean([model.contributions.var(ddof=1) / 200 for model in models]))
    assert told == pytest.approx(np.std([model.value for model in models]), rel=0.2)  # 200 draws know it to 5 %


def test_the_models_size_falls_with_what_the_log_does_not_hold() -> None:
    data = WORLD.log(LOGGING, 1_000, np.random.default_rng(7))
    of = {
        name: fit_model(data, policy, discount=DISCOUNT, seed=0).effective
        for name, policy in {"logging": LOGGING, "target": TARGET, "far": Table([[1, 0], [0, 1], [1, 0]])}.items()
    }
    assert of["logging"] == pytest.approx(1_000)
    assert of["logging"] >= of["target"] > of["far"]

    never = WORLD.log(Table([[1, 0], [1, 0], [1, 0]]), 1_000, np.random.default_rng(8))
    assert fit_model(never, TARGET, discount=DISCOUNT, seed=0).effective < 1


def test_zeros_of_either_sign_are_one_observation() -> None:
    data = two_episodes(observations=np.array([[0.0], [-0.0], [0.0]]))
    model = fit_model(data, Table([[0.0, 1.0]]), discount=0.5, seed=0)
    assert np.isfinite(model.value)


@pytest.mark.parametrize("last", [np.zeros((1, 1)), None])
def test_a_truncated_episode_goes_on_in_the_model_only(last: np.ndarray | None) -> None:
    cut = two_episodes(
        observations=np.zeros((5, 1)),
        actions=np.zeros(5, dtype=int),
        rewards=np.ones(5),
        starts=np.array([0, 5]),
        terminated=np.array([False]),
        ids=("cut",),
        propensities=np.ones(5),
        last_observations=last,
    )
    logged = Logged(cut, Table([[1.0, 0.0]]), discount=0.5)
    assert estimate(logged, "fqe") == pytest.approx(2, rel=1e-3)
    assert estimate(logged, "pdis") == pytest.approx(2 * (1 - 0.5**5))
