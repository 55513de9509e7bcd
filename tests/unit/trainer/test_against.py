"""A policy beside another one, from the same starts: what is told, what is held, and how often that is wrong."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linear_policies import PUSH, TWO, artifact

from belay_api.environment import EnvironmentSpec
from belay_api.gates import Gate
from belay_api.judging_job import AgainstConfig
from belay_api.policy import ArtifactSpec
from belay_api.reasons import Verdict
from belay_trainer.errors import BadConfiguration
from belay_trainer.served import Artifact, read_artifact
from belay_trainer.validation.against import Compared, Pairs, compare, judge_pairs
from belay_trainer.validation.gates import run_gates
from belay_trainer.validation.measurement import LOOKS
from belay_trainer.validation.subject import Subject

SIDES = "tasks:Sides-v0"
RIGHT = [[0.0, 0.0], [2.0, 0.0]]  # action 1 where the first number is above 0: always right, returns 10
SHIFTED = 0.5  # where the other policy changes sides: wrong with probability P(0 < N(0, 1) < 0.5)
LOST = 0.5 * math.erf(SHIFTED / math.sqrt(2))


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("right") / "policy"
    return read_artifact(artifact(folder, RIGHT, output="logits", action=TWO, environment=SIDES, returns=(0.0, 10.0)))


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """It returns 10 · (1 - LOST), 8.09."""
    folder = tmp_path_factory.mktemp("shifted") / "policy"
    made = artifact(folder, RIGHT, output="logits", action=TWO, bias=(0.0, -2.0 * SHIFTED), environment=SIDES,
                    returns=(0.0, 10.0))  # fmt: skip
    return read_artifact(made)


def asked(**more: Any) -> AgainstConfig:
    where = ArtifactSpec(uri=f"store://sha256/{'0' * 64}", digest=f"sha256:{'0' * 64}")
    return AgainstConfig.model_validate({"policy": "a", "artifact": where, "episodes": 100, "confidence": 0.95, **more})


def played(policy: Artifact, other: Artifact, *, environment: str = SIDES, **more: Any) -> Compared:
    subject = Subject(policy, EnvironmentSpec(id=environment))
    try:
        return compare(subject, other, asked(**more))
    finally:
        subject.close()


def test_both_begin_where_the_other_does(right: Artifact) -> None:
    found = played(right, right)
    assert found.result.difference is not None
    assert (found.result.difference.value, found.result.other, found.result.episodes) == (0.0, 10.0, 100)
    assert found.result.verdict is None, "it is held to nothing"
    assert found.result.digest == right.digest


def test_what_a_worse_policy_loses_is_told_with_its_interval(right: Artifact, shifted: Artifact) -> None:
    found = played(shifted, right, episodes=400)
    between = found.result.difference
    assert between is not None
    assert between.value == pytest.approx(-10 * LOST, abs=0.3), "5 standard errors of 4,000 timesteps"
    assert between.low < -10 * LOST < between.high
    assert "the difference is" in found.result.message
    np.testing.assert_array_equal(found.returns["the policy"].shape, found.returns["a"].shape)


@pytest.mark.parametrize(
    ("most", "verdict", "words"),
    [
        ("5%", Verdict.FAIL, "is not kept"),
        ("30%", Verdict.PASS, "is kept"),
        ("19%", Verdict.NOT_ENOUGH_SAMPLES, "may be"),
    ],
)
def test_a_regression_is_held_to_its_limit(
    right: Artifact, shifted: Artifact, most: str, verdict: Verdict, words: str
) -> None:
    """It loses 19.1 %."""
    found = played(shifted, right, maxRegression=most).result
    assert found.verdict is verdict, found.message
    assert f"maxRegression {most[:-1]} % {words}" in found.message
    better = played(right, shifted, maxRegression="1%").result
    assert better.verdict is Verdict.PASS


def test_what_cannot_be_compared_says_so_and_holds_only_who_asked(right: Artifact, tmp_path: Path) -> None:
    pushes = read_artifact(artifact(tmp_path / "p", [[1.0, 0.0]], output="mean", action=PUSH))
    told, held = played(right, pushes).result, played(right, pushes, maxRegression="5%").result
    assert (told.verdict, held.verdict) == (None, Verdict.NO_DATA)
    assert "a cannot be played there" in told.message
    assert told.difference is None
    broken = read_artifact(artifact(tmp_path / "q", RIGHT, output="logits", action=TWO, bias=(math.nan, 0.0)))
    assert played(broken, right).result.verdict is Verdict.FAIL, "whoever answers no numbers is worse than anybody"
    assert played(right, broken, maxRegression="5%").result.verdict is Verdict.NO_DATA


def test_a_share_of_a_return_about_0_is_no_limit(right: Artifact) -> None:
    found = played(right, right, environment="tasks:Luck-v0", maxRegression="5%").result
    assert found.verdict is Verdict.NO_DATA
    assert "set a gate with minReturn" in found.message


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds known less exactly, in a tenth of the time: enough to count how often they are wrong."""
    monkeypatch.setattr("belay_trainer.validation.bounds.DRAWS", 1_000)


def at_the_limit(generator: np.random.Generator, *, level: float, most: float, right: Artifact) -> Verdict | None:
    """Hold a policy that returns exactly as little as is allowed: mostly as much as the other one from the same start,
    now and then far less."""
    count, reach = 100 * LOOKS[-1], 4 * abs(level)
    other = level * generator.choice([0.8, 1.0, 1.2], count)  # few values: their bounds take milliseconds
    fall = most * abs(level) / 0.05  # in one episode of twenty
    policy = other - fall * (generator.random(count) < 0.05)
    low, high = level - reach, level + reach

    def pairs(n: int) -> Pairs:
        return Pairs(policy[:n], other[:n], low, high)

    return judge_pairs(pairs, asked(maxRegression=f"{100 * most:g}%"), right).result.verdict


@pytest.mark.parametrize("level", [500.0, -200.0])
def test_whoever_returns_exactly_what_is_allowed_is_as_seldom_passed_or_failed_as_stated(
    level: float, right: Artifact, quick: None
) -> None:
    """At the limit itself either verdict is an error of 5 % at most, over all looks together."""
    generator, count = np.random.default_rng(11), 200
    found = [at_the_limit(generator, level=level, most=0.1, right=right) for _ in range(count)]
    for verdict in (Verdict.PASS, Verdict.FAIL):
        assert sum(one is verdict for one in found) <= 20, "10 expected at most; beyond 20 with probability 0.001"


def test_interval_of_the_difference_misses_as_seldom_as_it_says(quick: None) -> None:
    generator, missed = np.random.default_rng(12), 0
    for _ in range(200):
        other = 500.0 * generator.choice([0.8, 1.0, 1.2], 100)
        policy = other - 200.0 * (generator.random(100) < 0.05)  # 10 less in the mean
        between = Pairs(policy, other, 0.0, 1000.0).difference(0.95, looks=1)
        missed += not between.low <= -10 <= between.high
    assert missed <= 20, "10 expected at most; beyond 20 with probability 0.001"


def test_a_limit_that_is_clearly_kept_or_broken_is_told(right: Artifact) -> None:
    """Not only silence keeps the error rate: 10 % allowed, and 0 or 30 % lost."""
    generator = np.random.default_rng(13)

    def verdict(lost: float) -> Verdict | None:
        other = 500.0 * generator.choice([0.8, 1.0, 1.2], 400)
        found = {n: Pairs(other[:n] - lost, other[:n], 0.0, 1000.0) for n in (100, 200, 400)}
        return judge_pairs(found.__getitem__, asked(maxRegression="10%"), right).result.verdict

    assert [verdict(0.0) for _ in range(10)] == [Verdict.PASS] * 10
    assert [verdict(150.0) for _ in range(10)] == [Verdict.FAIL] * 10


def gated(policy: Artifact, beside: Artifact | None, **more: Any) -> Any:
    gates = [Gate.model_validate({"performance": {"betterThan": "before", **more}})]
    [result] = run_gates(gates, policy, EnvironmentSpec(id=SIDES), beside=beside)
    return result


def test_a_gate_holds_a_policy_to_more_than_another_one_returns(right: Artifact, shifted: Artifact) -> None:
    """By the bound of a rollout's step, on the same pairs."""
    better = gated(right, shifted)
    [found] = better.measured.measurements
    assert (found.verdict, found.limit, found.name) == (Verdict.PASS, 0.0, "return over that of RLPolicy before")
    told = played(right, shifted).result
    assert told.difference is not None
    assert found.value == pytest.approx(told.difference.value), "the same episodes"
    assert "betterThan before, above 0 is kept" in found.message
    assert set(better.measured.returns) == {"the policy", "RLPolicy before"}
    assert gated(shifted, right).verdict is Verdict.FAIL
    assert gated(right, right).verdict is Verdict.NOT_ENOUGH_SAMPLES, "equal policies are not better"


def test_a_gate_tells_whose_fault_it_is_that_nothing_was_compared(right: Artifact, tmp_path: Path) -> None:
    broken = artifact(tmp_path / "broken", RIGHT, output="logits", action=TWO, bias=(math.nan, 0.0), environment=SIDES)
    [found] = gated(right, read_artifact(broken)).measured.measurements
    assert (found.verdict, "RLPolicy before could not be played" in found.message) == (Verdict.NO_DATA, True)
    assert gated(read_artifact(broken), right).verdict is Verdict.FAIL

    pushing = read_artifact(artifact(tmp_path / "other", [[1.2, 0.0]], output="mean", action=PUSH))
    with pytest.raises(BadConfiguration, match="gates: performance: betterThan before: .*its actions"):
        gated(right, pushing)
    with pytest.raises(BadConfiguration, match="RLPolicy before is not at hand here.*--against"):
        gated(right, None)
