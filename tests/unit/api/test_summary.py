"""The result over seeds, against values worked out another way."""

import math
import random
import statistics

import pytest

from belay_api.gates import Validation
from belay_api.summary import FEWEST_SEEDS, aggregate, interquartile_mean, interval
from belay_api.training import ArtifactRef, SeedPhase, SeedStatus


def seed(index: int, value: float | None) -> SeedStatus:
    ref = ArtifactRef(uri=f"store://sha256/{index:064x}", digest=f"sha256:{index:064x}")
    phase = SeedPhase.SUCCEEDED if value is not None else SeedPhase.FAILED
    return SeedStatus(index=index, seed=10 + index, phase=phase, return_=value, artifact=ref if value else None)


@pytest.mark.parametrize("size", [4, 8, 12, 40])
def test_iqm_is_the_mean_of_the_middle_half_where_four_divides_the_count(size: int) -> None:
    values = random.Random(size).choices(range(1000), k=size)
    middle = sorted(values)[size // 4 : 3 * size // 4]
    assert interquartile_mean(values) == pytest.approx(statistics.mean(middle))


def test_iqm_of_any_count_is_that_of_four_copies() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]
    assert interquartile_mean(values) == pytest.approx(interquartile_mean(values * 4))


def test_one_broken_seed_moves_the_mean_and_not_the_iqm() -> None:
    values = [480.0, 490.0, 500.0, 500.0, 9.0]
    result = aggregate([seed(index, value) for index, value in enumerate(values)])
    assert result is not None
    assert result.mean == pytest.approx(395.8)
    assert result.iqm > 460


def test_the_best_is_one_that_passed_its_gates_and_the_result_is_of_all() -> None:
    said = {0: False, 1: True, 2: True, 3: None}  # the last one says nothing, as an image of somebody else may
    seeds = [
        seed(index, 500.0 - 10 * abs(index - 3)).model_copy(
            update={"validation": None if passed is None else Validation(passed=passed, gates=1)}
        )
        for index, passed in said.items()
    ]
    result, ungated = aggregate(seeds, gated=True), aggregate(seeds)
    assert result is not None
    assert ungated is not None
    assert (result.best.seed, ungated.best.seed) == (12, 13)
    assert (result.seeds, result.mean) == (ungated.seeds, ungated.mean) == (4, 485.0)
    assert aggregate([seeds[0], seeds[3]], gated=True) is None


def test_the_interval_holds_the_iqm_and_is_the_same_every_time() -> None:
    values = (410.0, 450.0, 480.0, 490.0, 500.0)
    low, high = interval(values)
    assert low <= interquartile_mean(values) <= high
    assert min(values) <= low < high <= max(values)
    interval.cache_clear()
    assert interval(values) == (low, high)


@pytest.mark.parametrize(("seeds", "least"), [(FEWEST_SEEDS, 0.84), (20, 0.89)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(seeds: int, least: float) -> None:
    """Normal returns. Each `least` is the measured share (90 %, 94 %) less three standard errors of 250 trials."""
    generator = random.Random(1)
    hits = 0
    for _ in range(250):
        low, high = interval(tuple(generator.gauss(100.0, 10.0) for _ in range(seeds)))
        hits += low <= 100.0 <= high
    assert hits / 250 >= least


def test_spread_and_error_are_over_seeds() -> None:
    result = aggregate([seed(index, one) for index, one in enumerate((2.0, 4.0, 9.0))])
    assert result is not None
    assert result.std == pytest.approx(math.sqrt(13.0)), "of a sample: squares over one less than their number"
    assert result.stderr == pytest.approx(math.sqrt(13.0 / 3))
    alone = aggregate([seed(0, 5.0)])
    assert alone is not None
    assert (alone.std, alone.stderr) == (None, None)


@pytest.mark.parametrize("seeds", range(1, FEWEST_SEEDS))
def test_few_seeds_have_no_interval(seeds: int) -> None:
    result = aggregate([seed(index, 100.0 + index) for index in range(seeds)])
    assert result is not None
    assert result.ci95 is None
    assert "ci95" not in result.dump()
    with pytest.raises(ValueError, match="train at least 5"):
        interval((100.0,) * seeds)


def test_five_seeds_have_an_interval() -> None:
    result = aggregate([seed(index, 100.0 + index) for index in range(5)])
    assert result is not None
    assert result.ci95 is not None
    low, high = result.ci95
    assert 100.0 <= low < result.iqm < high <= 104.0


def test_seeds_without_a_checkpoint_do_not_count_and_ties_go_to_the_first() -> None:
    result = aggregate([seed(2, 500.0), seed(0, None), seed(1, 500.0)])
    assert result is not None
    assert (result.seeds, result.best.seed) == (2, 11)
    assert aggregate([seed(0, None)]) is None
