"""Each check finds what it is for where evidence differs from a healthy training's in one thing, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.diagnosis.given import LENGTHS, episodes, evaluations, healthy, played, young

from belay_api.reasons import FindingReason as R
from belay_trainer.diagnosis import CHECKS, PASSING, SYMPTOMS, conclude, suspicions
from belay_trainer.diagnosis.evidence import Contract, Evidence, Observations, Rewards, Task, Updates, Values

TASK, UPDATES, YOUNG = healthy().task, healthy().updates, young().updates
COSTS = Rewards(count=20_000, low=-1.0, high=-1.0, mean=-1.0)
ZERO = Rewards(count=20_000, low=0.0, high=0.0, mean=0.0)
FIXED = np.full(800, 50)
BOTH = np.arange(800) % 2
SAME = Observations(count=20_000, low=np.zeros(4), high=np.zeros(4))
LOST = evaluations(*[20.0] * 4, 300.0, 250.0, *[30.0] * 4)
SEEN = [
    (R.REWARD_SIGN_FLIPPED, healthy(rewards=COSTS, episodes=episodes(paid=-1.0), random={})),  # never solved
    (
        R.REWARD_SIGN_FLIPPED,  # of an environment that does not say when it is solved: ending pays
        young(
            task=replace(TASK, solved_at=None),
            rewards=COSTS,
            episodes=episodes(LENGTHS[:150], paid=-1.0),
            random={"return": played(-22.0), "length": played(22.0)},
        ),
    ),
    (R.REWARD_SIGN_FLIPPED, healthy(episodes=episodes(success=BOTH, returns=LENGTHS - 30 * BOTH))),
    (
        R.REWARD_CONSTANT,
        healthy(episodes=episodes(FIXED, terminated=False), random={}, reach={"return": (50.0, 50.0)}),
    ),
    (
        R.REWARD_CONSTANT,  # of episodes so long that few are recorded: those of random actions are known as well
        young(
            episodes=episodes(FIXED[:35], terminated=False),
            random={"return": played(50.0, std=0.0, episodes=100)},
            reach={"return": (50.0, 50.0)},
        ),
    ),
    (R.TERMINAL_REWARD_MISSING, healthy(rewards=ZERO, episodes=episodes(paid=0.0), reach={"return": (0.0, 0.0)})),
    (R.TERMINAL_REWARD_MISSING, young(rewards=ZERO, episodes=episodes(LENGTHS[:90], paid=0.0, success=BOTH[:90]))),
    (
        R.OBSERVATION_OUTSIDE_SPACE,
        young(observations=Observations(2_000, np.zeros(2), np.ones(2), outside=30, where="number 1 is 0 to 9")),
    ),
    (R.OBSERVATION_CONSTANT, young(observations=SAME)),
    (R.ACTIONS_WITHOUT_EFFECT, young(contract=Contract(64, ignores_actions=True))),
    (R.RESET_LEAVES_STATE, young(contract=Contract(64, reset_differs="after 3 timesteps"))),
    (R.NOT_DETERMINISTIC, young(contract=Contract(64, copies_differ="after 3 timesteps"))),
    (R.TIME_LIMIT_TERMINATES, young(episodes=episodes(FIXED[:60]), reach={})),
    (R.TIME_LIMIT_TERMINATES, young(episodes=episodes(np.minimum(LENGTHS[:90], 20)), reach={"length": (8.0, 20.0)})),
    (R.VALUES_OUT_OF_BOUNDS, healthy(values=Values(np.full(64, 101.0), np.ones(64)))),
    (R.VALUES_OUT_OF_BOUNDS, healthy(values=Values(np.full(64, -51.0), np.ones(64)))),
    (R.VALUES_NEAR_ZERO, healthy(values=Values(np.full(64, 0.01), np.linspace(5.0, 30.0, 64)))),
    (R.WEIGHTS_STAND_STILL, young(updates=replace(YOUNG, movement=1e-8))),
    (R.WEIGHTS_STAND_STILL, young(updates=replace(YOUNG, movement=1e-8, rounds=True))),
    (R.NO_BETTER_THAN_RANDOM, healthy(evaluations=evaluations(*[22.0] * 10))),
    (R.ENTROPY_COLLAPSED, young(updates=replace(YOUNG, entropy=0.001))),
    (R.NO_EXPLORATION, young(updates=replace(YOUNG, exploration=0.0, entropy=None, kl=None))),
    (
        R.NO_EXPLORATION,  # a goal that nobody reached, and no sooner than by random actions
        young(
            evaluations=evaluations(0.0, std=0.0),
            length=played(50.0, std=0.0, episodes=5),
            random={"return": played(0.0, std=0.0), "length": played(50.0, std=0.0)},
            reach={"return": (0.0, 0.0)},
            updates=replace(YOUNG, exploration=0.0, entropy=None),
        ),
    ),
    (R.UPDATES_TOO_LARGE, young(updates=replace(YOUNG, movement=1e4))),
    (R.UPDATES_TOO_LARGE, young(updates=replace(YOUNG, movement=np.inf))),
    (R.POLICY_JUMPS, young(updates=replace(YOUNG, kl=0.21))),
    (R.POLICY_JUMPS, young(updates=replace(YOUNG, kl=np.inf))),
    (R.RELAPSED, healthy(step=38_000, evaluations=LOST)),
]
NOT_SEEN = {
    "healthy": healthy(),
    "young": young(),
    "nothing_known": Evidence(task=Task(budget=1_000)),
    "acrobot_costs_until_it_is_solved": healthy(
        task=replace(TASK, solved_at=-100.0),
        rewards=Rewards(20_000, low=-1.0, high=0.0, mean=-0.99),
        episodes=episodes(np.full(30, 500), paid=-1.0, terminated=False),
        random={"return": played(-499.0), "length": played(499.0)},
        values=None,
    ),
    "mountain_car_whose_goal_was_not_reached_yet": young(
        task=replace(TASK, solved_at=90.0, cap=999),
        rewards=Rewards(4_000, low=-0.1, high=0.0, mean=-0.03),
        episodes=episodes(np.full(20, 999), paid=-0.03, terminated=False),
        random={"return": played(-33.0), "length": played(999.0, std=0.0)},
    ),
    "a_penalty_for_ending_that_makes_surviving_pay": young(
        task=replace(TASK, solved_at=None),
        rewards=Rewards(4_000, low=-1_000.0, high=-1.0, mean=-46.0),
        episodes=episodes(LENGTHS[:150], paid=-46.0),
        random={"return": played(-1_021.0), "length": played(22.0)},
    ),
    "a_goal_that_one_end_of_twenty_may_bring": young(
        task=replace(TASK, solved_at=None),
        rewards=COSTS,
        episodes=episodes(LENGTHS[:130], paid=-1.0),
        random={"return": played(-22.0), "length": played(22.0)},
    ),
    "a_maze_whose_end_takes_random_actions_long": young(
        task=replace(TASK, solved_at=None, cap=100),
        rewards=COSTS,
        episodes=episodes(LENGTHS[:150], paid=-1.0),
        random={"return": played(-30.0), "length": played(30.0)},
    ),
    "rounds_of_a_user_s_algorithm_that_has_no_gradient": young(
        updates=replace(YOUNG, movement=3.6, movement_steps=3, rounds=True)
    ),
    "success_by_surviving": young(episodes=episodes(LENGTHS[:90], success=LENGTHS[:90] > 40)),
    "success_that_returns_more": healthy(episodes=episodes(success=BOTH, returns=LENGTHS + 30 * BOTH)),
    "few_constant_episodes": young(
        rewards=ZERO,
        episodes=episodes(np.full(34, 50), paid=0.0, terminated=False),
        random={"return": played(0.0, std=0.0, episodes=100)},
        reach={"return": (0.0, 0.0)},
    ),
    "a_reward_that_only_evaluations_found": healthy(
        rewards=ZERO, episodes=episodes(FIXED, paid=0.0, terminated=False), reach={"return": (0.0, 1.0)}, values=None
    ),
    "a_bandit": healthy(observations=SAME, episodes=episodes(np.ones(800, int), returns=BOTH), values=None),
    "one_observation_of_a_hundred_outside": young(
        observations=Observations(2_000, np.zeros(2), np.ones(2), outside=20, where="number 1 is 0 to 9")
    ),
    "a_time_limit_that_is_told_in_the_observation": young(episodes=episodes(FIXED[:60], clock=1.0), reach={}),
    "a_time_limit_that_truncates": young(episodes=episodes(FIXED[:60], terminated=False), reach={}),
    "episodes_as_long_as_a_policy_makes_them": young(episodes=episodes(FIXED[:60]), reach={"length": (8.0, 60.0)}),
    "the_first_step_of_adam": young(updates=replace(YOUNG, movement=0.3, movement_steps=1)),
    "values_that_overshoot": healthy(values=Values(np.full(64, 99.0), np.ones(64))),
    "values_with_a_bonus_for_entropy": healthy(values=Values(np.full(64, 101.0), np.ones(64), bonus=1.0)),
    "values_near_zero_where_signs_change": healthy(values=Values(np.zeros(64), np.linspace(-5.0, 30.0, 64))),
    "values_that_were_hardly_updated": young(values=Values(np.full(64, 0.01), np.linspace(5.0, 30.0, 64))),
    "no_better_than_random_early": young(evaluations=evaluations(*[22.0] * 10, every=300)),
    "a_good_policy_is_certain": healthy(updates=replace(UPDATES, entropy=1e-4)),
    "a_good_policy_explores_no_more": healthy(updates=replace(UPDATES, exploration=0.0)),
    "exploration_that_ended": young(updates=replace(YOUNG, exploration=1.0)),
    "random_actions_reach_the_goal_too_but_later": young(
        evaluations=evaluations(1.0, std=0.0),
        length=played(3.0, std=0.1, episodes=5),
        random={"return": played(0.99, std=0.1), "length": played(9.0, std=4.0)},
        reach={"return": (0.0, 1.0)},
        updates=replace(YOUNG, exploration=0.0, entropy=0.0),
    ),
    "random_is_not_known": young(random={}, updates=replace(YOUNG, exploration=0.0, entropy=0.0)),
    "a_relapse_with_time_to_recover": healthy(step=35_000, evaluations=LOST),
    "two_bad_evaluations": healthy(
        step=40_000, evaluations=evaluations(*[20.0] * 4, 300.0, 250.0, 240.0, 230.0, 30.0, 30.0)
    ),
    "evaluations_that_are_a_little_worse": healthy(
        step=40_000, evaluations=evaluations(*[300.0] * 7, 240.0, 240.0, 240.0)
    ),
    "relapse_early": young(evaluations=evaluations(9.0, 9.0, 60.0, 9.0, 9.0, 9.0, every=500)),
}


def test_every_check_is_seen() -> None:
    assert {reason for reason, _ in SEEN} == {*R} - {R.SEEDS_DISAGREE}, "the last one is the operator's"
    assert len(CHECKS) == len(R) - 1


@pytest.mark.parametrize(("reason", "evidence"), SEEN, ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_check_is_for_is_found_alone(reason: R, evidence: Evidence) -> None:
    seen = suspicions(evidence)
    (finding,) = conclude(seen, before=frozenset(one.reason for one in seen))
    assert finding.reason == reason
    assert len(finding.message) < 300, "three of them go into a pod's last word"
    assert len(finding.advice) < 200


@pytest.mark.parametrize("evidence", NOT_SEEN.values(), ids=NOT_SEEN.keys())
def test_what_is_healthy_is_told_nothing(evidence: Evidence) -> None:
    assert suspicions(evidence) == []


def test_findings_come_in_the_order_in_which_to_look_at_them() -> None:
    everything = healthy(
        rewards=COSTS,
        episodes=episodes(FIXED, paid=-1.0),
        observations=SAME,
        contract=Contract(64, ignores_actions=True),
        reach={},
        updates=Updates(gradient_steps=2_000, kl=1.0, clip_range=0.2),
        values=Values(np.full(64, 1e9), np.ones(64)),
        evaluations=LOST,
    )
    reasons = [one.reason for one in suspicions(everything)]
    assert len(reasons) >= 6
    assert reasons == sorted(reasons, key=[*R].index)


def test_what_comes_and_goes_is_told_at_the_second_look() -> None:
    seen = suspicions(young(updates=replace(YOUNG, kl=1.0)))
    assert [one.reason for one in seen] == [R.POLICY_JUMPS]
    assert conclude(seen, before=frozenset()) == []
    assert conclude(seen, before=frozenset({R.POLICY_JUMPS.value})) == seen
    certain = suspicions(young(observations=SAME))
    assert conclude(certain, before=frozenset()) == certain


def test_a_symptom_is_left_out_beside_its_cause() -> None:
    broken = healthy(
        updates=replace(UPDATES, movement=1e6, kl=1e3, entropy=0.0),
        values=Values(np.full(64, 1e12), np.ones(64)),
        evaluations=evaluations(*[9.0] * 10),
    )
    assert {one.reason for one in suspicions(broken)} == {
        R.VALUES_OUT_OF_BOUNDS,
        R.NO_BETTER_THAN_RANDOM,
        R.ENTROPY_COLLAPSED,
        R.UPDATES_TOO_LARGE,
        R.POLICY_JUMPS,
    }
    (told,) = conclude(suspicions(broken), before=frozenset(PASSING))
    assert told.reason == R.UPDATES_TOO_LARGE
    order = [*R]
    assert all(order.index(cause) != order.index(symptom) for symptom, causes in SYMPTOMS.items() for cause in causes)


@pytest.mark.parametrize("discount", [0.9, 0.98, 0.999])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_what_values_may_be_follows_from_rewards_and_discount(discount: float, scale: float) -> None:
    bound = scale / (1 - discount)
    for factor, wanted in ((1.9, []), (2.1, [R.VALUES_OUT_OF_BOUNDS])):
        found = suspicions(
            healthy(
                task=replace(TASK, discount=discount, cap=None),
                rewards=Rewards(20_000, low=0.0, high=scale, mean=scale / 2),
                values=Values(np.full(64, factor * bound), np.full(64, bound)),
            )
        )
        assert [one.reason for one in found] == wanted


def test_where_every_episode_ends_by_the_task_its_cap_bounds_what_can_come() -> None:
    values = Values(np.full(64, 25.0), np.ones(64))
    short = replace(TASK, cap=10, discount=1.0, solved_at=None)
    alive = episodes(np.arange(800) % 9 + 1)
    assert [one.reason for one in suspicions(healthy(task=short, episodes=alive, values=values, reach={}))] == [
        R.VALUES_OUT_OF_BOUNDS
    ]
    cut = replace(alive, terminated=np.arange(800) % 2 == 0)
    assert suspicions(healthy(task=short, episodes=cut, values=values, reach={})) == [], "values go on beyond the cut"
