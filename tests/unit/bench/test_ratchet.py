"""Twenty candidates in a row: what the figures mean, and that bands and worlds name the same."""

import numpy as np
import pytest
import yaml

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import split
from verdict.ratchet import HERE, Lives, World, figures, live

LOAD = {**yaml.safe_load((HERE / "ratchet.yaml").read_text()), "candidates": 6}
WORLD = World(
    mean=300.0,
    spread=105.0,
    range=Range(0.0, 600.0),
    margin=Margin(0.1, relative=True),
    budget=split(0.01, 1),
    windows=60,
    earlier=100,
)


@pytest.mark.parametrize("serve", [False, True])
def test_equal_candidates_are_promoted_and_lose_nothing(serve: bool) -> None:
    ended = live(WORLD, LOAD, [0.0, 0.0], lives=20, serve=serve, seed=1)
    assert ended.promoted.mean() > 5
    assert (ended.level == 1).all()


def test_with_the_anchor_beside_them_allowed_regressions_do_not_add_up() -> None:
    unseen, served = (live(WORLD, LOAD, [0.04, 0.0], lives=20, serve=serve, seed=2) for serve in (False, True))
    assert np.median(unseen.level) < 0.89
    assert served.level.min() >= 0.9
    assert served.promoted.mean() > 0.5


def test_figures_are_of_lives_and_of_candidates() -> None:
    ended = Lives(np.array([1.0, 0.8]), np.array([2.0, 4.0]), np.array([100.0, 300.0]))
    found = figures(ended, 10)
    assert (found["promoted"], found["below_the_margin"], found["candidate_episodes"]) == (3.0, 0.5, 20.0)


def test_every_figure_has_one_band() -> None:
    for file in ("ranges.ratchet.yaml", "ranges.ratchet.quick.yaml"):
        bands = yaml.safe_load((HERE / file).read_text())["bands"]
        assert {name.rpartition(".")[0] for name in bands} == {
            f"drop{drop}.{rule}" for drop in LOAD["drops"] for rule in ("unseen", "serve")
        }
