"""The worlds of the guard rails: their requests are those that are asked for, and time is counted right."""

import numpy as np
import pytest
import yaml

from belay_operator.rollout.analysis.limits import Rail
from verdict.guards import HERE, Traffic, agree, found_after, rolled_back, three_looks

P99 = Rail("p99", allowed=0.01)


@pytest.mark.parametrize(
    "traffic",
    [
        Traffic(30.0, 0.02),
        Traffic(30.0, 0.02, clustered=True),
        Traffic(30.0, 0.02, stall_s=1.0),
        Traffic(30.0, 0.02, stall_s=12.0),
    ],
)
def test_the_share_over_a_long_time_is_as_said(traffic: Traffic) -> None:
    requests, beyond = traffic.blocks(17_280, 20, 5.0, np.random.default_rng(1))
    assert requests.mean() == pytest.approx(150, rel=0.01)
    assert beyond.sum() / requests.sum() == pytest.approx(0.02, rel=0.1)
    assert (beyond <= requests).all()


def test_a_stall_goes_on_into_the_next_block() -> None:
    _, beyond = Traffic(100.0, 0.2, stall_s=60.0).blocks(2_000, 1, 5.0, np.random.default_rng(2))
    bad = beyond[:, 0] > 400
    assert (bad[1:] & bad[:-1]).sum() > 0.8 * bad.sum()


def test_an_outage_is_timed_from_its_beginning() -> None:
    rng = np.random.default_rng(3)
    early = found_after(P99, Traffic(30.0, 1.0), health_s=0, horizon_s=600, runs=20, rng=rng)
    assert (early == 10).all()
    later = found_after(P99, Traffic(30.0, 1.0), health_s=600, horizon_s=600, runs=200, rng=rng)
    assert 14 < later.min() < 16
    assert 19 < later.max() < 21
    never = found_after(P99, Traffic(30.0, 0.001), health_s=0, horizon_s=600, runs=20, rng=rng)
    assert np.isinf(never).all()


def test_both_rules_on_a_candidate_that_keeps_its_limit_tenfold() -> None:
    rng, traffic = np.random.default_rng(4), Traffic(1.0, 0.001)
    assert three_looks(traffic, 0.01, seconds=3600, runs=50, rng=rng).mean() > 0.8
    assert not rolled_back(P99, traffic, seconds=3600, runs=50, rng=rng).any()


def test_the_operator_and_the_arrays_agree() -> None:
    for block_s in (1.0, 5.0, 7.0):
        agree(Rail("p99", allowed=0.01, block_s=block_s), np.random.default_rng(5))


def test_every_figure_has_one_band_and_one_run() -> None:
    load = yaml.safe_load((HERE / "guards.yaml").read_text())
    for kind, file in (("full", "ranges.guards.yaml"), ("quick", "ranges.guards.quick.yaml")):
        bands = yaml.safe_load((HERE / file).read_text())["bands"]
        assert {f"{rail}.keeps_{times:g}" for rail in load["rails"] for times in load["runs"][kind]["days"]} <= {
            name.rsplit(".", 1)[0] for name in bands
        }
