"""The recorder against experience whose every number is known."""

from typing import Any

import numpy as np
import pytest

from belay_trainer.diagnosis.recorder import BYTES, FEWEST_ROWS, LATEST, STEPS, UPDATES, Recorder


def info(*, length: int = 0, paid: float = 0.0, truncated: bool = False, **more: Any) -> dict[str, Any]:
    ended = {"episode": {"r": paid, "l": length, "t": 0.1}} if length else {}
    return {"TimeLimit.truncated": truncated, **ended, **more}


def recorder(**space: Any) -> Recorder:
    return Recorder(**{"discount": 0.9, "low": np.array([-1.0, -1.0]), "high": np.array([1.0, 1.0]), **space})


def feed(notes: Recorder, steps: int, *, copies: int = 2, every: int = 5) -> None:
    """Play episodes of `every` timesteps; the observation is (timestep / 10, copy), the reward the timestep."""
    for step in range(steps):
        place = step % every
        done = place == every - 1
        notes.step(
            rewards=np.full(copies, float(place)),
            dones=np.full(copies, done),
            infos=[info(length=every if done else 0, paid=10.0, truncated=copy == 1) for copy in range(copies)],
            observations=np.array([[(place + 1) % every / 10, copy] for copy in range(copies)]),
            actions=np.arange(copies),
        )


def test_what_was_seen_is_told() -> None:
    notes = recorder()
    feed(notes, 50)
    latest = notes.summarise()
    rewards, episodes, observations = notes.rewards(), notes.episodes(latest), notes.observations()
    assert rewards is not None
    assert observations is not None
    assert (rewards.count, rewards.low, rewards.high, rewards.mean) == (100, 0.0, 4.0, 2.0)
    assert (len(episodes.lengths), set(episodes.lengths), set(episodes.returns)) == (20, {5}, {10.0})
    assert episodes.terminated.sum() == 10, "one copy only truncates"
    assert np.isnan(episodes.success).all()
    assert (observations.count, list(observations.low), list(observations.high)) == (100, [0.0, 0.0], [0.4, 1.0])
    assert observations.outside == 0
    assert latest.usual_action.startswith("action 0 is taken in 50 %")


def test_totals_go_on_and_notes_do_not() -> None:
    notes = recorder()
    feed(notes, 10)
    notes.summarise()
    assert notes.empty
    feed(notes, 10)
    again = notes.summarise()
    rewards = notes.rewards()
    assert rewards is not None
    assert (rewards.count, len(notes.episodes(again).lengths)) == (40, 8)
    feed(notes, 5 * LATEST, copies=1)
    assert len(notes.episodes(notes.summarise()).lengths) == LATEST


def test_little_is_noted_however_much_happens() -> None:
    notes = recorder()
    count = 0
    while notes.wants_steps:
        feed(notes, 1, copies=8)
        count += 1
    assert count == STEPS // 8
    while notes.wants_updates:
        notes.update({"train/approx_kl": 0.1})
        count += 1
    assert count == STEPS // 8 + UPDATES
    notes.summarise()
    assert notes.wants_steps
    feed(notes, 1, copies=512)
    assert notes._room == FEWEST_ROWS
    pictures = recorder(low=None, high=None)
    row = np.zeros((8, 84, 84, 4), np.uint8)
    pictures.step(
        rewards=np.zeros(8), dones=np.zeros(8, bool), infos=[info()] * 8, observations=row, actions=np.zeros(8)
    )
    assert pictures._room * row.nbytes <= BYTES


def test_rewards_that_a_library_changes_afterwards_are_as_they_were() -> None:
    notes = recorder()
    paid = np.array([1.0, 1.0])
    notes.step(
        rewards=paid,
        dones=np.zeros(2, bool),
        infos=[info()] * 2,
        observations=np.zeros((2, 2)),
        actions=np.zeros(2, int),
    )
    paid += 100
    notes.summarise()
    rewards = notes.rewards()
    assert rewards is not None
    assert rewards.high == 1.0


def test_a_reward_that_was_not_noted_widens_the_range() -> None:
    notes = recorder()
    notes.add_reward_range(np.inf, -np.inf)
    feed(notes, 10)
    notes.summarise()
    notes.add_reward_range(-3.0, 100.0)
    notes.add_reward_range(np.nan, 1.0)
    rewards = notes.rewards()
    assert rewards is not None
    assert (rewards.low, rewards.high, rewards.count) == (-3.0, 100.0, 20)


def test_what_followed_is_discounted_to_the_end_of_its_episode() -> None:
    notes = recorder()
    feed(notes, 20)
    latest = notes.summarise()
    assert latest.states is not None
    assert latest.realised is not None
    for state, realised in zip(latest.states, latest.realised, strict=True):
        place = round(state[0] * 10)  # of the timestep that the next action makes
        wanted = sum(0.9 ** (later - place) * later for later in range(place, 5))
        assert realised == pytest.approx(wanted)


def test_what_lies_beyond_the_notes_is_not_made_up() -> None:
    notes = recorder()
    feed(notes, 15, every=100)
    assert notes.summarise().realised is None, "of 0.9^14 too much is left"
    feed(notes, 40, every=100)
    latest = notes.summarise()
    assert latest.states is not None
    assert len(latest.states) == 2 * (40 - 1 - 21), "0.9^22 is little"


@pytest.mark.parametrize(("every", "low"), [(5, 0.99), (1, 0.0)])
def test_an_observation_that_tells_the_time_is_seen(every: int, low: float) -> None:
    notes = recorder()
    feed(notes, 40, every=every)
    assert notes.summarise().clock >= low
    rng, other = np.random.default_rng(1), recorder()
    for step in range(200):
        done = step % 20 == 19
        other.step(
            rewards=np.ones(1),
            dones=np.array([done]),
            infos=[info(length=20 if done else 0)],
            observations=rng.normal(size=(1, 2)),
            actions=np.zeros(1, int),
        )
    assert other.summarise().clock < 0.5


def test_observations_outside_their_space_are_counted_and_the_farthest_is_named() -> None:
    notes = recorder()
    for outside in (0.0, 1.0 + 1e-6, 3.0):
        seen = np.array([[0.5, outside], [0.5, 0.5]])
        zeros = np.zeros(2)
        notes.step(rewards=zeros, dones=zeros, infos=[info()] * 2, observations=seen, actions=zeros)
    notes.summarise()
    observations = notes.observations()
    assert observations is not None
    assert (observations.outside, observations.count) == (1, 6)
    assert observations.where == "number 1 is 0 to 3, declared -1 to 1"


def test_infinite_bounds_have_nothing_outside() -> None:
    notes = recorder(low=np.full(2, -np.inf), high=np.full(2, np.inf))
    feed(notes, 5)
    notes.summarise()
    observations = notes.observations()
    assert observations is not None
    assert observations.outside == 0


def test_success_is_read_where_the_environment_tells_it() -> None:
    notes = recorder()
    told = [info(length=3, is_success=True), info(length=3, success=0), info(length=3)]
    zeros = np.zeros(3)
    notes.step(rewards=zeros, dones=np.ones(3, bool), infos=told, observations=np.zeros((3, 2)), actions=zeros)
    success = notes.episodes(notes.summarise()).success
    assert (success[0], success[1], np.isnan(success[2])) == (1.0, 0.0, True)


def test_updates_are_told_by_their_median() -> None:
    notes = recorder()
    for kl, clip in ((0.01, 0.2), (0.03, 0.1), (float("nan"), 0.0)):
        notes.update({"train/approx_kl": kl, "train/clip_range": clip, "train/entropy_loss": -0.5})
    latest = notes.summarise()
    assert (latest.kl, latest.entropy, notes.totals.clip_range) == (0.03, 0.5, 0.2)
    notes.update({"train/approx_kl": float("nan"), "rollout/exploration_rate": 0.0})
    latest = notes.summarise()
    assert (latest.kl, latest.entropy, notes.totals.exploration) == (np.inf, None, 0.0)


def test_observations_that_are_no_arrays_are_left_alone() -> None:
    notes = recorder(low=None, high=None)
    zeros = np.zeros(2)
    notes.step(rewards=zeros, dones=zeros, infos=[info()] * 2, observations={"a": zeros}, actions=zeros)
    latest = notes.summarise()
    assert (latest.states, notes.observations()) == (None, None)
    assert notes.rewards() is not None
