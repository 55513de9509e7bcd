"""The parts of the verdict's bench with promises of their own: what is drawn is what is said, and has a band."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from verdict import delayed, experiments, regret
from verdict.bands import PARTS
from verdict.experiments import Found
from verdict.world import World, ar1, path_of, simulate

HERE = Path(experiments.__file__).parent


def load(name: str) -> dict:
    return yaml.safe_load((HERE / f"{name}.yaml").read_text())


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("kind", ["full", "quick"])
def test_every_world_has_bands_and_every_promise_a_figure(name: str, kind: str) -> None:
    said, size = load(name), "" if kind == "full" else ".quick"
    bands = yaml.safe_load((HERE / f"ranges.{name}{size}.yaml").read_text())["bands"]
    assert {figure.partition(".")[0] for figure in bands} == set(said["runs"][kind].get("worlds", said["worlds"]))
    promised = [figure for figure, band in bands.items() if "target" in band]
    assert {figure.rpartition(".")[2] for figure in promised} == {
        rule["figures"].rpartition(".")[2] for rule in said["promises"]
    }


def test_a_disturbance_has_its_spread_and_is_forgotten_after_its_memory() -> None:
    paths = ar1(3000, 0.2, memory=100.0, duration=1000.0, rng=np.random.default_rng(1))
    assert paths.std(axis=0) == pytest.approx(np.full(paths.shape[1], 0.2), abs=0.02)
    now, later = (path_of(paths, np.arange(3000), np.full(3000, at), memory=100.0) for at in (300.0, 400.0))
    assert np.corrcoef(now, later)[0, 1] == pytest.approx(np.exp(-1), abs=0.05)


@pytest.mark.parametrize(("how", "alike"), [({"common": [0.2, 600]}, True), ({"own": [0.2, 600]}, False)])
def test_a_common_disturbance_is_both_sides(how: dict, alike: bool) -> None:
    values = {"returns": "normal", "mean": 300, "cv": 0.1, "arrivals_per_s": 2, "weights": [0.5], **how}
    world = World.read(values, duration=600)
    drawn = simulate(world, drop=0.0, rollouts=200, duration=600, grace=60, rng=np.random.default_rng(2))
    sides = [
        np.bincount(drawn.rollout[of], drawn.value[of]) / np.bincount(drawn.rollout[of])
        for of in (drawn.of_candidate, ~drawn.of_candidate)
    ]
    assert np.corrcoef(*sides)[0, 1] == pytest.approx(0.97 if alike else 0.0, abs=0.03 if alike else 0.25)


def test_reports_come_when_they_are_said_to() -> None:
    rng = np.random.default_rng(3)
    soon = delayed.Delay(hours=2, beyond=0.1, never=0.2).draw(40_000, 86_400.0, rng)
    assert np.isinf(soon).mean() == pytest.approx(0.2, abs=0.01)
    assert ((soon > 86_400) & np.isfinite(soon)).mean() == pytest.approx(0.1, abs=0.01)
    assert np.median(soon[soon < 86_400]) == pytest.approx(2 * 3600 * np.log(2), rel=0.05)


def test_a_world_with_an_unknown_side_is_refused() -> None:
    with pytest.raises(ValueError, match="is not candidate or stable with good or bad"):
        delayed.World.read([0], {"hours": 1}, candidate={"worst": {"hours": 2}})


def test_the_first_arm_that_is_better_and_passes_wins_once_it_may() -> None:
    """Three experiments of two arms: too early at first; the best of two; and one that was taken off before."""
    asked = experiments.Asked.read(
        {**load("experiments"), "schedule": {"duration": 300, "look": 30, "window": 60, "grace": 60}, "duration": 90},
        experiments.World.read([[10, 0], [10, -0.1]]),
    )
    assert asked.schedule.looks.size == 10
    world, never = experiments.World.read([[10, 0], [10, -0.1]]), np.zeros((3, 10), bool)

    def arm(failed: dict[int, int], wins: dict[int, int], gain: float) -> Found:
        fails, says = never.copy(), never.copy()
        for run, look in failed.items():
            fails[run, look:] = True
        for run, look in wins.items():
            says[run, look:] = True
        return Found(fails, says, says, np.full((3, 10), gain))

    ended = experiments.end([arm({2: 3}, {0: 1, 1: 4, 2: 5}, 10.0), arm({}, {1: 4}, 20.0)], world, asked)
    assert ended.winner.tolist() == [0, 1, -1]
    assert ended.at.tolist() == [2, 4, 9], "no arm before the third look, which is after 90 s"
    assert ended.off.tolist() == [[10, 10], [10, 10], [3, 10]]


def test_the_true_regret_is_that_of_the_episodes_that_were_drawn() -> None:
    said = load("regret")
    world = regret.World.read(worse=[0.2], weight=0.5, arrivals_per_s=0.4, limits=[])
    asked = regret.Asked.read(said)
    drawn = regret.simulate(world, said, asked, 20, np.random.default_rng(4))
    evening = regret.Evening.of(drawn, asked.schedule.last_bins[:50], asked)
    counted = evening.candidate.count * ((evening.stable.count > 0) & (evening.candidate.count > 0))
    np.testing.assert_allclose(evening.lost[:, -1], 60 * counted.sum(axis=1), rtol=1e-9)
    begun = drawn.lost[:, -1] / 60
    assert begun.mean() == pytest.approx(0.2 * 7200, rel=0.05)
