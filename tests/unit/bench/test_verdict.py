"""The verdict bench's own reckoning: who belongs to which window, what a look knows, and what a promise allows."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.chance import most_by_chance

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.evidence import Better, Comparison
from verdict.bands import band
from verdict.measure import Said, Trial, agree, figures
from verdict.peers import PYTHON, Peers
from verdict.rules import Course, Schedule, belay, episodes_at_looks, naive, so_far
from verdict.world import Episodes, World, simulate

TIMES = {"duration": 1200.0, "look": 30.0, "window": 60.0, "grace": 100.0}
SCHEDULE = Schedule(**TIMES, cuts=(407.0,))
NORMAL = {
    "returns": "normal",
    "mean": 300,
    "cv": 0.3,
    "arrivals_per_s": 0.5,
    "weights": {0: 0.3, 407: 0.6},
    "range": [0, 600],
}
COMPARISON = Comparison("return", Better.MORE, Margin(0.1, relative=True), Range(0.0, 600.0))
BUDGET = split(0.01, 1)


def drawn(drop: float = 0.0, rollouts: int = 6, **values: object) -> Episodes:
    world = World.read({**NORMAL, **values}, duration=1200)
    return simulate(world, drop=drop, rollouts=rollouts, duration=1200, grace=100, rng=np.random.default_rng(1))


def test_windows_end_at_changes_of_the_weight_and_looks_know_what_is_a_grace_old() -> None:
    assert {360.0, 407.0, 420.0} <= set(SCHEDULE.windows)
    assert SCHEDULE.looks[0] == 30
    assert SCHEDULE.looks[-1] == 1200
    for look, ripe in zip(SCHEDULE.looks, SCHEDULE.ripe, strict=True):
        known = [start for start in SCHEDULE.bins if start < look - 120]  # a grace of 100 s, in whole looks
        assert ripe == len(known)


def test_a_bin_holds_what_came_of_its_window_so_far() -> None:
    episodes = drawn(missing=0.2)
    side = so_far(episodes, candidate=True, schedule=SCHEDULE, rollouts=6)
    ends = np.append(SCHEDULE.bins[1:], 1200)
    for rollout, place in [(0, 3), (2, 14), (5, 20), (3, 39)]:
        first = SCHEDULE.windows[SCHEDULE.window_of_bin[place]]
        mine = (episodes.rollout == rollout) & episodes.of_candidate
        began = mine & (episodes.start >= first) & (episodes.start < ends[place])
        counted = began & (episodes.end - episodes.start <= 100)
        value = episodes.value[counted]
        assert (side.count[rollout, place], side.missing[rollout, place]) == (
            counted.sum(),
            began.sum() - counted.sum(),
        )
        if value.size:
            told = [getattr(side, what)[rollout, place] for what in ("mean", "m2", "low", "high")]
            wanted = [value.mean(), ((value - value.mean()) ** 2).sum(), value.min(), value.max()]
            np.testing.assert_allclose(told, wanted, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("window", [60.0, 300.0, 1200.0])
@pytest.mark.parametrize("certain", [Range(0.0, 600.0), Range(), Range(low=0.0)])
@pytest.mark.parametrize("known", [0, 30])
@pytest.mark.parametrize("explained", [None, 0.6])
def test_the_arrays_say_what_judge_says(window: float, certain: Range, known: int, explained: float | None) -> None:
    schedule = replace(SCHEDULE, window=window)
    comparison = replace(COMPARISON, certain=certain)
    for drop in (0.0, 0.3):
        episodes = drawn(drop, explained=explained)
        sides = [so_far(episodes, candidate=side, schedule=schedule, rollouts=6) for side in (True, False)]
        rng = np.random.default_rng(3)
        before = rng.normal(300, 90, (6, known)), rng.integers(0, 5, (6, known)) if explained else None
        asked = {"schedule": schedule, "comparison": comparison, "budget": BUDGET, "before": before}
        course = belay(*sides, **asked)
        agree(course, *sides, **asked, rng=np.random.default_rng(2))
        assert course.failed[:, -1].sum() >= 5 if drop else course.failed.any(axis=1).sum() <= 1
    with pytest.raises(SystemExit, match="judge says"):
        agree(Course(~course.failed, course.passed), *sides, **asked, rng=np.random.default_rng(2))


def test_a_critic_explains_its_share_and_both_sides_levels_are_alike() -> None:
    episodes = drawn(rollouts=60, explained=0.5, explained_candidate=0.0)
    assert episodes.level is not None
    for side, explained in ((episodes.of_candidate, 0.0), (~episodes.of_candidate, 0.5)):
        np.testing.assert_allclose(np.bincount(episodes.level[side]) / side.sum(), 0.2, atol=0.02)
        seen = np.corrcoef(episodes.level[side], episodes.value[side])[0, 1] ** 2
        assert seen == pytest.approx(0.9 * explained, abs=0.05), "a fifth tells less than the value itself"


def test_the_candidates_episodes_are_counted_up_to_each_look() -> None:
    episodes = drawn()
    side = so_far(episodes, candidate=True, schedule=SCHEDULE, rollouts=6)
    counted = episodes_at_looks(side, SCHEDULE)
    ripe = episodes.of_candidate & (episodes.rollout == 4) & (episodes.start < 600 - 120)
    assert counted[4, 19] == (ripe & (episodes.end - episodes.start <= 100)).sum()
    assert (np.diff(counted, axis=1) >= 0).all()


def test_naive_rules_take_what_has_finished() -> None:
    looks = SCHEDULE.looks
    said = naive(drawn(0.5), looks=looks, rollouts=6)
    assert said["welch"][:, -1].all()
    assert not naive(drawn(), looks=looks, rollouts=6)["welch"][:, 0].any()


def trial(**values: object) -> Trial:
    return Trial.read("world", {**NORMAL, "drops": [0.2], **values}, schedule=TIMES, earlier=20)


def test_a_drop_is_found_where_fail_comes_before_pass() -> None:
    never = 40
    said = Said(
        np.array([3, 9, never, 5]), np.array([never, 4, never, 5]), np.tile(np.arange(0.0, 400.0, 10.0), (4, 1))
    )
    told = figures(said, trial(), 0.2)
    assert told["found"] == 0.5
    assert told["wrongly_passed"] == 0.25
    assert told["median_candidate_episodes"] == (50 + 390) / 2
    assert figures(said, trial(), 0)["false_rollback"] == 0.75, "Fail holds after a Pass as well"


def test_episodes_since_a_late_turn() -> None:
    late = trial(kind="late", turns_after=90, weights=[0.3])
    assert late.world.turns_at == 600
    turn = int(np.searchsorted(late.schedule.looks, 700))
    said = Said(np.array([turn + 5, 2]), np.array([40, 40]), np.tile(np.arange(0.0, 400.0, 10.0), (2, 1)))
    told = figures(said, late, 0.2)
    assert told["false_rollback"] == 0.5
    assert told["median_candidate_episodes_since"] == 50
    episodes = drawn(0.9, turns_after=90, weights=[0.3], rollouts=50)
    mine = episodes.of_candidate
    before, after = (episodes.value[mine & (late_ == (episodes.start >= 600))].mean() for late_ in (False, True))
    assert before == pytest.approx(300, abs=15)
    assert after == pytest.approx(30, abs=5)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"returns": "mixture", "candidate": [[1, 280]], "stable": [[1, 300]]}, "the mixtures differ by 0.0667"),
        ({"range": [0, 1], "weight": [0.5]}, "weight"),
    ],
)
def test_a_world_that_is_not_what_it_says_is_refused(values: dict[str, object], fault: str) -> None:
    with pytest.raises((ValueError, TypeError), match=fault):
        trial(**values)


def test_declared_needs_a_range() -> None:
    bare = {key: value for key, value in NORMAL.items() if key != "range"}
    with pytest.raises(ValueError, match="it has no range"):
        Trial.read("world", {**bare, "drops": [0], "ranges": ["declared"]}, schedule=TIMES, earlier=0)


def test_mixtures_have_the_means_they_are_given() -> None:
    parts = {"candidate": [[0.9, 100], [0.1, 1100]], "stable": [[1, 200, 20]], "range": [0, 1200]}
    episodes = drawn(rollouts=60, returns="mixture", **parts)
    for side in (True, False):
        value = episodes.value[episodes.of_candidate == side]
        assert value.mean() == pytest.approx(200, abs=5 * value.std() / math.sqrt(value.size))


def test_a_promise_is_a_bound_whatever_was_seen() -> None:
    rules = {"promises": [{"figures": "*.false_rollback", "max": 0.01}], "unprotected": {}, "targets": []}
    found = band("a.drop0.false_rollback", 0.012, 1000, rules)
    assert found["max"] == pytest.approx(0.01 + 3 * math.sqrt(0.01 * 0.99 / 1000), abs=1e-4)
    with pytest.raises(ValueError, match="breaks the promise"):
        band("a.drop0.false_rollback", 0.03, 1000, rules)
    known = {**rules, "unprotected": {"a.*": "deeper than what is protected"}}
    assert band("a.drop0.false_rollback", 0.03, 1000, known)["why"] == "deeper than what is protected"


@pytest.mark.skipif(not PYTHON.exists(), reason="the peers are not installed: make peers")
def test_the_peers_find_what_is_plain_and_nothing_where_nothing_is() -> None:
    peers, looks = Peers.installed(6), SCHEDULE.looks
    assert peers is not None
    for drop in (0.0, 0.5):
        said = peers.judge(drawn(drop, weights=[0.5]), looks=looks, rollouts=6, arrivals_per_s=0.5)
        assert set(said) == {"gbstats", "gbstats_200", "confidence", "kayenta"}
        for failed, _, finished in said.values():
            assert (failed < looks.size).all() == (drop > 0)
            assert finished.shape == (6, looks.size)


def test_a_worse_candidate_does_not_pass_where_stable_loses_its_best() -> None:
    """The returns that are left are alike: without a look at what stable misses, nearly every rollout passes."""
    rollouts, looked = 200, {}
    for loses in ("best", ""):
        values = {"stable_loses": loses, "weights": [0.5], "arrivals_per_s": 1, "candidate": [[1, 280]]}
        values |= {"returns": "mixture", "stable": [[0.75, 280, 20], [0.25, 400, 20]], "range": [0, 600]}
        episodes = drawn(rollouts=rollouts, **values)
        sides = [so_far(episodes, candidate=side, schedule=SCHEDULE, rollouts=rollouts) for side in (True, False)]
        asked = {
            "schedule": SCHEDULE,
            "comparison": COMPARISON,
            "budget": BUDGET,
            "before": (np.zeros((rollouts, 0)), None),
        }
        looked[loses] = sides, belay(*sides, **asked)
        agree(looked[loses][1], *sides, **asked, rng=np.random.default_rng(2))
    (candidate, stable), course = looked["best"]
    assert stable.count.sum() < 0.8 * candidate.count.sum()
    assert course.passed.any(axis=1).sum() <= most_by_chance(rollouts, BUDGET.wrong_promotion)
    assert not course.failed.any(axis=1).sum() > most_by_chance(rollouts, 0.01), "and it fails nobody"
    assert looked[""][1].failed[:, -1].mean() > 0.9, "with all of stable's it is plain"


def test_nothing_is_missing_but_what_is_said_to_be() -> None:
    episodes = drawn(rollouts=60, returns="mixture", candidate=[[1, 900]], stable=[[1, 900]], range=[0, 1000])
    side = so_far(episodes, candidate=True, schedule=SCHEDULE, rollouts=60)
    assert not side.missing.any()


RETURNING = {"arrivals_per_s": 5, "weights": [0.5], "users": 100, "ability": 0.4}


def test_a_user_stays_on_her_side_and_counts_once() -> None:
    every, first = drawn(**RETURNING), drawn(**RETURNING, counted="users")
    assert np.bincount(first.rollout, minlength=6).tolist() == [100] * 6, "each came within the twenty minutes"
    of_first = set(zip(first.rollout, first.start, first.value, first.of_candidate, strict=True))
    assert of_first < set(zip(every.rollout, every.start, every.value, every.of_candidate, strict=True))
    # Half of the users, not half of the episodes, are on either side.
    share = [every.of_candidate[every.rollout == one].mean() for one in range(6)]
    assert np.allclose(share, [first.of_candidate[first.rollout == one].mean() for one in range(6)], atol=0.03)


def test_a_raise_takes_nobody_from_the_candidate() -> None:
    ramp = drawn(
        **{**RETURNING, "weights": {0: 0.2, 407: 0.6}, "ability": 0.1, "cv": 1e-9}
    )  # a user's return is her name
    for rollout in range(6):
        of = ramp.rollout == rollout
        able = {
            (early, side): set(ramp.value[of & (ramp.of_candidate == side) & ((ramp.start < 407) == early)].round(3))
            for early in (True, False)
            for side in (True, False)
        }
        assert able[True, True] <= able[False, True], "who had the candidate at 20 % has it at 60 %"
        assert len(able[False, True]) > len(able[True, True])


def test_users_who_return_break_the_promise_by_episodes_and_keep_it_by_users() -> None:
    rollouts = 200
    rolled_back = {}
    for counted in ("episodes", "users"):
        episodes = drawn(rollouts=rollouts, **RETURNING, counted=counted)
        sides = [so_far(episodes, candidate=side, schedule=SCHEDULE, rollouts=rollouts) for side in (True, False)]
        asked = {"comparison": COMPARISON, "budget": BUDGET, "before": (np.zeros((rollouts, 0)), None)}
        course = belay(*sides, schedule=SCHEDULE, **asked)
        rolled_back[counted] = int(course.failed.any(axis=1).sum())
    assert rolled_back["users"] <= most_by_chance(rollouts, 0.01)
    assert rolled_back["episodes"] > most_by_chance(rollouts, 0.05), "the same rollouts, as if episodes were drawn"
