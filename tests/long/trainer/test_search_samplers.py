"""Samplers of a search against random trials, on a bowl whose bottom is known. About a minute of CPU."""

from pathlib import Path
from statistics import median

import pytest
from search_support import missed_bowl_by

SEARCHES = 20


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_most_searches_find_a_known_optimum_better_than_chance_does(sampler: str, tmp_path: Path) -> None:
    chance, ours = (
        [missed_bowl_by(tmp_path / f"{name}-{seed}", name, first_seed=seed) for seed in range(SEARCHES)]
        for name in ("random", sampler)
    )
    print(sampler, sorted(ours), sorted(chance))
    assert median(ours) < median(chance) / 2
    better = sum(one < other for one, other in zip(ours, chance, strict=True))
    assert better >= 15, "of twenty: by chance once in fifty"
