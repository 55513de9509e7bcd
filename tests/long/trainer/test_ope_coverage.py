"""How often the intervals of off-policy estimates hold: what docs/guides/judge-offline.md tells, measured again.

About a minute and a half of CPU.
"""

import numpy as np
import pytest
from ope_worlds import DISCOUNT, LOGGING, TARGET, small_world

from belay_trainer.ope import ESTIMATORS, Logged, judge

REPLICATIONS = 1_000
TOLD = 0.92  # of nominal 95 %; with 1,000 logs a share is known to 0.7 points
WORLD = small_world()
TRUTH = WORLD.value(TARGET, DISCOUNT)


@pytest.mark.parametrize("episodes", [200, 1_000])
def test_intervals_of_95_percent_cover(episodes: int) -> None:
    generator = np.random.default_rng(episodes)
    covered, asked = dict.fromkeys(ESTIMATORS, 0), dict.fromkeys(ESTIMATORS, 0)
    for _ in range(REPLICATIONS):
        log = WORLD.log(LOGGING, episodes, generator)
        for one in judge(Logged(log, TARGET, discount=DISCOUNT)).estimates:
            if one.found is not None:
                asked[one.estimator] += 1
                covered[one.estimator] += one.found.low <= TRUTH <= one.found.high
    shares = {name: covered[name] / asked[name] for name in ESTIMATORS}
    print(episodes, {name: round(share, 3) for name, share in shares.items()})
    assert min(asked.values()) > 0.95 * REPLICATIONS, "too much was refused"
    assert min(shares.values()) >= TOLD, shares
