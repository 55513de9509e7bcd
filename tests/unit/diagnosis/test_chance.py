"""How often healthy trainings are told of something: no more often than `belay_trainer.diagnosis.chance` says.

Each simulated training is looked at many times while its evidence grows, as a real one is.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.chance import most_by_chance
from tests.unit.diagnosis.given import episodes, evaluations, healthy, played, young

from belay_api.reasons import FindingReason as R
from belay_api.wire import RunEvaluation
from belay_trainer.diagnosis.chance import (
    ALPHA,
    ENOUGH_EPISODES,
    RARE,
    SELDOM,
    SOME_EPISODES,
    at_look,
    beyond,
    binomial_tail,
    learned,
)
from belay_trainer.diagnosis.checks.relapse import relapsed
from belay_trainer.diagnosis.checks.reward_constant import reward_constant
from belay_trainer.diagnosis.checks.reward_sign import reward_sign
from belay_trainer.diagnosis.checks.time_limit import time_limit
from belay_trainer.diagnosis.evidence import Evidence, Rewards

LOOKS = 12
Draw = Callable[[np.random.Generator, int], np.ndarray]


def ever(look: Callable[[int], Evidence], check: Callable[[Evidence], object]) -> bool:
    return any(check(look(number)) is not None for number in range(1, LOOKS + 1))


def test_what_a_check_spends_over_all_looks_is_alpha() -> None:
    assert sum(at_look(look) for look in range(1, 10_000)) == pytest.approx(ALPHA, rel=1e-3)
    assert (1 - RARE) ** ENOUGH_EPISODES <= ALPHA < (1 - RARE) ** (ENOUGH_EPISODES - 1)
    assert (1 - SELDOM) ** SOME_EPISODES <= ALPHA < (1 - SELDOM) ** (SOME_EPISODES - 1)


@pytest.mark.parametrize(("tries", "share"), [(12, 0.5), (40, 1 / 11), (300, 0.02)])
def test_the_binomial_tail_is_that_of_drawn_numbers(tries: int, share: float) -> None:
    drawn = np.random.default_rng(1).binomial(tries, share, 200_000)
    for hits in (0, 1, round(tries * share), round(tries * share) + 3, tries):
        assert binomial_tail(hits, tries, share) == pytest.approx(float((drawn >= hits).mean()), abs=0.005)


@pytest.mark.parametrize(
    "lengths",
    [
        lambda rng, n: rng.integers(10, 61, n),
        lambda rng, n: rng.integers(10, 13, n),
        lambda rng, n: 9 + rng.geometric(0.05, n),
        lambda rng, n: 10 + rng.poisson(40, n),
        lambda rng, n: np.maximum(10, rng.normal(200, 3, n).astype(int)),
        lambda rng, n: np.maximum(10, rng.gamma(2.0, 15.0, n).astype(int)),
    ],
    ids=["uniform", "three-lengths", "geometric", "poisson", "nearly-fixed", "gamma"],
)
def test_episodes_that_end_by_themselves_have_no_time_limit(lengths: Draw) -> None:
    rng, trainings, per_look = np.random.default_rng(20_211_108), 120, 90
    false = 0
    for _ in range(trainings):
        drawn = lengths(rng, per_look * LOOKS)
        false += ever(
            lambda look, drawn=drawn: young(look=look, episodes=episodes(drawn[: per_look * look]), reach={}),
            time_limit,
        )
    assert false <= most_by_chance(trainings, ALPHA)


@pytest.mark.parametrize("limit", [20, 60, 200])
def test_a_time_limit_that_terminates_is_found_within_a_few_dozen_episodes(limit: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        drawn = np.minimum(9 + rng.geometric(1 / limit, 150), limit)
        assert time_limit(young(look=1, episodes=episodes(drawn), reach={})) is not None


@pytest.mark.parametrize(
    "returns",
    [
        lambda rng, n: rng.normal(100, 30, n),
        lambda rng, n: rng.exponential(100, n),
        lambda rng, n: rng.integers(0, 3, n).astype(float),
        lambda rng, n: (rng.random(n) < 0.1).astype(float),
    ],
    ids=["normal", "exponential", "three-values", "sparse"],
)
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_success_that_has_nothing_to_do_with_returns_is_no_wrong_sign(returns: Draw, share: float) -> None:
    rng, trainings, per_look = np.random.default_rng(7), 120, 50
    false = 0
    for _ in range(trainings):
        paid = returns(rng, per_look * LOOKS)
        won = rng.random(per_look * LOOKS) < share

        def look(number: int, paid: np.ndarray = paid, won: np.ndarray = won) -> Evidence:
            seen = slice(per_look * number)
            return young(
                look=number, episodes=episodes(np.full(per_look * number, 9), returns=paid[seen], success=won[seen])
            )

        false += ever(look, reward_sign)
    assert false <= most_by_chance(trainings, ALPHA)


def test_success_that_is_paid_less_is_found() -> None:
    rng = np.random.default_rng(8)
    won = np.arange(200) % 2
    for _ in range(50):
        drawn = episodes(np.full(200, 9), returns=rng.normal(100, 30, 200) - 30 * won, success=won)
        found = reward_sign(young(episodes=drawn))
        assert found is not None
        assert found.reason == R.REWARD_SIGN_FLIPPED


def test_a_goal_that_one_episode_of_twenty_reaches_is_seen_before_rewards_are_called_constant() -> None:
    rng, trainings, per_look, of_random = np.random.default_rng(11), 400, 40, 100
    false = 0
    for _ in range(trainings):
        by_chance = float((rng.random(of_random) < SELDOM).any())
        reached = rng.random(per_look * LOOKS) < SELDOM

        def look(number: int, reached: np.ndarray = reached, by_chance: float = by_chance) -> Evidence:
            seen = reached[: per_look * number]
            ends = episodes(np.full(len(seen), 50), returns=seen, terminated=False)
            # Rewards of single timesteps are those of collection alone, and `reach` is of all that was played.
            rewards = Rewards(50 * len(seen), low=0.0, high=float(seen.any()), mean=float(seen.mean()) / 50)
            random = {"return": played(by_chance / of_random, std=0.0, episodes=of_random)}
            reach = {"return": (0.0, max(by_chance, float(seen.any())))}
            return healthy(rewards=rewards, episodes=ends, random=random, reach=reach)

        false += ever(look, reward_constant)
    assert false <= most_by_chance(trainings, ALPHA)


@pytest.mark.parametrize(("spread", "size"), [(10.0, 20), (100.0, 20), (100.0, 1), (100.0, 2), (100.0, 5)])
def test_a_policy_that_stays_as_it_is_does_not_relapse(spread: float, size: int) -> None:
    """The best of its evaluations is lucky, and more so the more it varies and the fewer episodes it has."""
    rng, trainings = np.random.default_rng(13), 200
    false = 0
    for _ in range(trainings):
        drawn = rng.normal(120, spread, (30, size))
        means, stds = drawn.mean(axis=1), drawn.std(axis=1)
        told = with_spread(evaluations(*means, episodes=size), stds)
        false += ever(lambda look, told=told: healthy(step=40_000, evaluations=told[: 6 + 2 * look]), relapsed)
    assert false <= most_by_chance(trainings, ALPHA)


def with_spread(told: tuple[RunEvaluation, ...], stds: np.ndarray) -> tuple[RunEvaluation, ...]:
    return tuple(one.model_copy(update={"std": float(std)}) for one, std in zip(told, stds, strict=True))


def test_who_is_as_good_as_random_actions_has_not_learned_whoever_drew_luckily() -> None:
    rng, trainings = np.random.default_rng(17), 500
    lucky = 0
    for _ in range(trainings):
        drawn, random = rng.normal(22, 10, (10, 20)), rng.normal(22, 10, 100)
        told = with_spread(evaluations(*drawn.mean(axis=1)), drawn.std(axis=1))
        anybody = {"return": played(float(random.mean()), std=float(random.std()))}
        lucky += learned(healthy(evaluations=told, random=anybody)) is True
    assert lucky <= most_by_chance(trainings, 5 * ALPHA), "twenty episodes have tails a little longer than the normal's"
    assert beyond(10) > beyond(1) > 3.0


def test_returns_that_do_not_vary_are_compared_all_the_same() -> None:
    always = {"return": played(9.0, std=0.0)}
    for mean, wanted in ((9.0, False), (9.1, True), (8.9, False)):
        assert learned(young(evaluations=evaluations(mean, std=0.0), random=always)) is wanted
    assert learned(replace(young(), evaluations=())) is None
    assert math.isfinite(beyond(10_000))
