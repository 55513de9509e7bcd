"""How often the bounds behind gates are wrong, for returns of many shapes: what docs/guides/validate.md tells.

Beside them Student's t, which the same policies would be judged by otherwise. About two minutes of CPU.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from belay_trainer.validation.bounds import Floats, mean_bounds

ALPHA, REPLICATIONS = 0.05, 500
MOST = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / REPLICATIONS)  # seen by chance once in 700 where it is ALPHA
T = {50: 1.6766, 100: 1.6604}  # its 95 % quantile with n - 1 degrees of freedom

Draw = Callable[[np.random.Generator, int], Floats]
SHAPES: dict[str, tuple[Draw, float, float, float]] = {  # how it is drawn, its mean, and between what it lies
    "normal": (lambda g, n: np.clip(g.normal(0, 1, n), -4, 4), 0.0, -4.0, 4.0),
    "uniform": (lambda g, n: g.uniform(0, 1, n), 0.5, 0.0, 1.0),
    "mostly good, long tail below": (lambda g, n: 1 - g.beta(0.3, 3, n), 1 - 0.3 / 3.3, 0.0, 1.0),
    "mostly bad, long tail above": (lambda g, n: g.beta(0.3, 3, n), 0.3 / 3.3, 0.0, 1.0),
    "fails in 1 of 50": (lambda g, n: np.where(g.random(n) < 0.02, 0.0, 1.0), 0.98, 0.0, 1.0),
    "fails in 1 of 10": (lambda g, n: np.where(g.random(n) < 0.1, 0.0, 1.0), 0.9, 0.0, 1.0),
    "two kinds of episodes": (
        lambda g, n: np.where(g.random(n) < 0.05, g.uniform(0, 0.2, n), g.uniform(0.8, 1, n)), 0.86, 0.0, 1.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("count", [50, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_bounds_are_wrong_as_seldom_as_they_say(shape: str, count: int) -> None:
    draw, mean, low, high = SHAPES[shape]
    generator = np.random.default_rng(count)
    too_high = too_low = t_too_high = t_too_low = 0
    for _ in range(REPLICATIONS):
        values = draw(generator, count)
        below, above = mean_bounds(values, low=low, high=high, alpha=ALPHA)
        too_high, too_low = too_high + (below > mean), too_low + (above < mean)
        half = T[count] * values.std(ddof=1) / math.sqrt(count)
        t_too_high += values.mean() - half > mean
        t_too_low += values.mean() + half < mean
    wrong = [f"{100 * int(number) / REPLICATIONS:.1f} %" for number in (too_high, too_low, t_too_high, t_too_low)]
    print(
        f"{shape}, {count} episodes: lower bound wrong in {wrong[0]}, upper in {wrong[1]}; t in {wrong[2]}, {wrong[3]}"
    )
    assert max(too_high, too_low) / REPLICATIONS <= MOST
