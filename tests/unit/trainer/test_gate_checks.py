"""Each kind of gate on policies and worlds whose right answer can be worked out by hand."""

import math
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linear_policies import FIRST_SEED, PUSH, SEEN, TWO, artifact
from tasks import Sides

from belay_api.environment import EnvironmentSpec
from belay_api.gates import Gate
from belay_api.reasons import Verdict
from belay_trainer.environments import TRAINING_SEEDS, maker
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import Evaluator, Stopped
from belay_trainer.export import TORCHSCRIPT
from belay_trainer.served import ServedPolicy, read_artifact
from belay_trainer.validation.checks import latency
from belay_trainer.validation.checks.robustness import Noisy
from belay_trainer.validation.checks.worst_case import Attacked
from belay_trainer.validation.gates import GateResult, check_gates, run_gates
from belay_trainer.validation.observations import Limits
from belay_trainer.validation.subject import BEHIND, Subject, first_seed

WHERE_IT_IS = [[0.0, 0.0], [2.0, 0.0]]  # logits: action 1 where the first number is above 0, which is always right
SIDES, AIM = "tasks:Sides-v0", "tasks:Aim-v0"


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of Sides that is always right, returns 10, and saw 0 to 10."""
    folder = tmp_path_factory.mktemp("right") / "policy"
    return artifact(folder, WHERE_IT_IS, output="logits", action=TWO, environment=SIDES, returns=(0.0, 10.0))


@pytest.fixture(scope="module")
def aiming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of Aim that answers 1.2 times the first number: ±0.6 at ±0.5, and returns 6."""
    folder = tmp_path_factory.mktemp("aiming") / "policy"
    return artifact(folder, [[1.2, 0.0]], output="mean", action=PUSH, environment=AIM, returns=(-10.0, 10.0))


def run(folder: Path, *gates: dict[str, Any], environment: str = SIDES, **kwargs: Any) -> list[GateResult]:
    task = EnvironmentSpec(id=environment, kwargs=kwargs)
    return run_gates([Gate.model_validate(one) for one in gates], read_artifact(folder), task)


def only(results: list[GateResult]) -> Any:
    [result] = results
    [measurement] = result.measured.measurements
    return measurement


# --- performance ------------------------------------------------------------------------------------------------------
def test_a_policy_that_always_returns_10_is_proved_to_return_9_and_not_10(right: Path) -> None:
    found = only(run(right, {"performance": {"minReturn": 9.0}}))
    assert (found.verdict, found.value, found.episodes) == (Verdict.PASS, 10.0, 100)
    assert found.low == pytest.approx(10 * (0.05 / 3) ** (1 / 100), abs=0.02)

    untold = only(run(right, {"performance": {"minReturn": 9.999}}))
    assert (untold.verdict, untold.episodes) == (Verdict.NOT_ENOUGH_SAMPLES, 400)


def test_too_low_a_return_fails_and_says_by_how_much(tmp_path: Path) -> None:
    wrong = artifact(tmp_path / "p", [[2.0, 0.0], [0.0, 0.0]], output="q-values", action=TWO, environment=SIDES,
                     returns=(0.0, 10.0))  # fmt: skip
    found = only(run(wrong, {"performance": {"minReturn": 5.0}}))
    assert (found.verdict, found.value, found.limit) == (Verdict.FAIL, 0.0, 5.0)
    assert "minReturn 5 is not kept" in found.message


def test_better_than_random_is_shown_and_equal_returns_are_not_better(right: Path, tmp_path: Path) -> None:
    found = only(run(right, {"performance": {"betterThan": "random"}}))
    assert found.verdict is Verdict.PASS
    assert found.value == pytest.approx(5.0, abs=0.5), "random actions are right half of the time"
    pays_nothing = artifact(tmp_path / "p", WHERE_IT_IS, output="logits", action=TWO)
    gate = {"performance": {"betterThan": "random"}}
    assert only(run(pays_nothing, gate, environment="tasks:Countdown-v0", pays=0.0)).verdict is Verdict.FAIL
    with pytest.raises(BadConfiguration, match="gates: performance: betterThan: .*no cap"):
        run(pays_nothing, {"performance": {"betterThan": "random"}}, environment="tasks:Skilful-v0")


def test_it_acts_as_the_artifact_says_and_only_after_every_byte_was_checked(right: Path, tmp_path: Path) -> None:
    torn = artifact(tmp_path / "p", WHERE_IT_IS, output="logits", action=TWO)
    (torn / TORCHSCRIPT).write_bytes((torn / TORCHSCRIPT).read_bytes()[:-1] + b"x")
    with pytest.raises(BadConfiguration, match=r"policy\.pt has digest"):
        read_artifact(torn)
    with pytest.raises(BadConfiguration, match="no manifest.json"):
        read_artifact(tmp_path)
    observations = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    actions, _ = ServedPolicy(read_artifact(right)).predict(observations)
    assert (actions == (observations[:, 0] > 0)).all()


def test_what_is_not_finite_fails_the_gate(tmp_path: Path) -> None:
    broken = artifact(tmp_path / "p", WHERE_IT_IS, output="logits", action=TWO, bias=(math.nan, 0.0))
    found = only(run(broken, {"performance": {"minReturn": 1.0}}))
    assert found.verdict is Verdict.FAIL
    assert "not finite" in found.message


def test_its_starts_are_nobody_elses(right: Path) -> None:
    begun = first_seed(read_artifact(right))
    first = FIRST_SEED - 10_000  # of the evaluations, which have three ranges of 10,000, and random actions behind
    assert begun >= first + 40_000
    assert begun + 10_000 + 2 * 10_000 + 100 < TRAINING_SEEDS
    assert first_seed(read_artifact(right)) - FIRST_SEED == BEHIND


# --- robustness -------------------------------------------------------------------------------------------------------
def test_noise_flips_actions_at_the_rate_it_must(right: Path) -> None:
    """Sides shows N(0, 1): with noise of s standard deviations the sign is wrong with probability atan(s) / pi."""
    results = run(right, {"robustness": {"noise": [0.1, 0.5], "maxDrop": "10%", "episodes": 400}})
    [small, large] = results[0].measured.measurements
    assert (small.verdict, large.verdict) == (Verdict.PASS, Verdict.FAIL)
    for found, size in ((small, 0.1), (large, 0.5)):
        expected = 100 * math.atan(size) / math.pi
        assert found.value == pytest.approx(expected, abs=1.6), "4 standard errors of 4,000 decisions"
        assert found.low < expected < found.high
    assert (small.limit, results[0].verdict) == (pytest.approx(10.0), Verdict.FAIL)


def test_noise_is_counted_in_each_numbers_own_spread(right: Path) -> None:
    subject = Subject(read_artifact(right), EnvironmentSpec(id=SIDES))
    spread = subject.spread(200)
    subject.close()
    assert spread[0] == pytest.approx(1.0, abs=0.05)
    assert spread[1] == 0.0, "a number that never changes gets no noise"
    absolute = run(right, {"robustness": {"noise": [1e-6], "unit": "absolute", "maxDrop": "50%"}})
    assert only(absolute).value == 0.0


def test_noisy_observations_stay_what_the_space_has() -> None:
    class Seen:
        def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, object]:
            self.shown = observation
            return observation, None

    pictures = SEEN.model_copy(update={"dtype": "uint8", "low": [0.0, 0.0], "high": [255.0, 255.0]})
    seen = Seen()
    noisy = Noisy(seen, np.array([400.0, 0.0]), Limits.of(pictures))
    noisy.predict(np.full((200, 2), 128, np.uint8), deterministic=True)
    assert seen.shown.dtype == np.uint8
    assert {0, 255} <= set(seen.shown[:, 0].tolist()), "cut at the bounds, not wrapped around"
    assert (seen.shown[:, 1] == 128).all()


def test_a_share_of_a_return_about_0_is_no_limit(tmp_path: Path) -> None:
    luck = artifact(tmp_path / "p", WHERE_IT_IS, output="logits", action=TWO)
    found = only(run(luck, {"robustness": {"noise": [0.1], "maxDrop": "20%"}}, environment="tasks:Luck-v0"))
    assert found.verdict is Verdict.NO_DATA
    assert "Set minReturn" in found.message


def test_a_drop_of_negative_returns_is_a_share_of_their_size(aiming: Path, tmp_path: Path) -> None:
    """-6 must not fall below -9 with 50 %; a rule of 0.5 times the return would ask for -3."""
    backwards = artifact(
        tmp_path / "p", [[-1.2, 0.0]], output="mean", action=PUSH, environment=AIM, returns=(-10.0, 10.0)
    )
    gate = {"robustness": {"noise": [0.01], "maxDrop": "50%", "episodes": 100}}
    found = only(run(backwards, gate, environment=AIM))
    assert found.verdict is Verdict.PASS
    assert abs(found.value) < 1


# --- worst case -------------------------------------------------------------------------------------------------------
def attack(folder: Path, observation: list[list[float]], *, radius: list[float], steps: int = 1) -> np.ndarray:
    found = read_artifact(folder)
    attacked = Attacked(ServedPolicy(found), found.manifest, folder / TORCHSCRIPT, radius=np.array(radius), steps=steps)
    return attacked._attack.changed(attacked._network, np.array(observation, np.float32), np.array(radius))[0]


@pytest.mark.parametrize("steps", [1, 10])
def test_the_attack_on_a_linear_network_goes_to_the_corner_that_hurts(tmp_path: Path, steps: int) -> None:
    """Margin of action 1 is 2x + 3y: it is lowered by -r·sign(2), -r·sign(3), and raised where action 0 is chosen."""
    folder = artifact(tmp_path / "p", [[0.0, 0.0], [2.0, 3.0]], output="q-values", action=TWO)
    shown = attack(folder, [[1.0, 1.0], [-1.0, 0.0]], radius=[0.5, 0.25], steps=steps)
    np.testing.assert_allclose(shown, [[0.5, 0.75], [-0.5, 0.25]], atol=1e-6)


def test_the_attack_drives_a_continuous_action_to_the_other_side(aiming: Path, tmp_path: Path) -> None:
    np.testing.assert_allclose(attack(aiming, [[0.5, 5.0], [-0.5, 5.0]], radius=[0.2, 1.0]), [[0.3, 5], [-0.3, 5]])
    squashed = artifact(tmp_path / "p", [[-1.0, 0.0], [0.0, 0.0]], output="squashed-gaussian", action=PUSH)
    np.testing.assert_allclose(attack(squashed, [[0.5, 5.0]], radius=[0.2, 1.0]), [[0.3, 5]], atol=1e-6)


def test_an_attack_costs_a_linear_policy_what_it_must(aiming: Path) -> None:
    """Aim shows ±0.5, standard deviation 0.5: within 0.4 of it the action falls from 0.6 to 0.36, by 40 %."""
    gate = {"maxDrop": "50%", "epsilon": 0.4}
    result = run(aiming, {"worstCase": gate}, environment=AIM)
    found = only(result)
    assert found.verdict is Verdict.PASS
    assert found.value == pytest.approx(40.0, abs=0.5), "the spread of 500 signs is 0.5 to a thousandth"
    assert "changed 100 % of the actions" in result[0].measured.notes[0]
    assert only(run(aiming, {"worstCase": {**gate, "maxDrop": "30%"}}, environment=AIM)).verdict is Verdict.FAIL


def test_an_attack_flips_what_lies_within_its_reach(right: Path) -> None:
    """Of N(0, 1), |x| < epsilon: the attack flips just those decisions."""
    result = run(right, {"worstCase": {"epsilon": 0.5, "maxDrop": "60%", "episodes": 200}})
    share = math.erf(0.5 / math.sqrt(2))
    assert only(result).value == pytest.approx(100 * share, abs=4.5), "4 standard errors of 2,000 decisions"
    assert only(result).verdict is Verdict.PASS


def test_what_has_no_gradient_is_not_taken_for_safe(tmp_path: Path) -> None:
    deaf = artifact(tmp_path / "deaf", [[0.0, 0.0], [0.0, 0.0]], output="logits", action=TWO, bias=(1.0, 0.0))
    found = only(run(deaf, {"worstCase": {"maxDrop": "90%"}}))
    assert (found.verdict, "nothing was attacked" in found.message) == (Verdict.NO_DATA, True)
    controller = artifact(tmp_path / "choice", [[1.0, 0.0]], output="choice", action=TWO)
    assert only(run(controller, {"worstCase": {"maxDrop": "90%"}})).verdict is Verdict.NO_DATA


# --- constraints ------------------------------------------------------------------------------------------------------
def test_no_violation_in_100_episodes_proves_fewer_than_3_percent(right: Path) -> None:
    result = run(right, {"constraints": {"maxViolations": 0}})
    assert (only(result).verdict, only(result).value) == (Verdict.PASS, 0.0)
    assert "in 0 of 100 episodes" in result[0].measured.notes[0]
    assert 2.9 < _proved(result) < 3.0


def test_what_is_proved_is_told_of_all_looks(right: Path) -> None:
    """Of 400 episodes without a violation, at the third look: each look has a third of the error."""
    result = run(right, {"constraints": {"maxRate": "1%", "episodes": 100}})
    assert (only(result).verdict, only(result).episodes) == (Verdict.NOT_ENOUGH_SAMPLES, 400)
    assert _proved(result) == pytest.approx(100 * (1 - (0.05 / 3) ** (1 / 400)), abs=0.03)
    assert _proved(result) == pytest.approx(only(result).high, abs=0.005)


def test_where_every_episode_has_a_violation_nothing_less_is_proved(right: Path) -> None:
    result = run(right, {"constraints": {"maxViolations": 0, "episodes": 20}}, edge=9.0)
    assert "in 20 of 20 episodes" in result[0].measured.notes[0]
    assert _proved(result) == 100.0


def _proved(results: list[GateResult]) -> float:
    """In how many percent of all episodes there is a violation at most."""
    [found] = re.findall(r"at most ([\d.]+) % of all", results[0].measured.notes[0])
    return float(found)


def test_violations_are_counted_where_they_happen(right: Path) -> None:
    """Below -2 with probability 0.0228 at each of ten timesteps: in 1 - 0.9772^10 = 20.6 % of episodes."""
    result = run(right, {"constraints": {"maxViolations": 5, "maxRate": "10%", "episodes": 400}}, edge=-2.0)
    [count, rate] = result[0].measured.measurements
    assert (count.verdict, rate.verdict) == (Verdict.FAIL, Verdict.FAIL)
    assert count.value == pytest.approx(4000 * 0.02275, abs=4 * math.sqrt(4000 * 0.02275))
    assert rate.value == pytest.approx(20.6, abs=8.1)
    assert rate.low < 20.6 < rate.high
    where = [note for note in result[0].measured.notes if note.startswith("Reset seed ")]
    seed, timestep = int(where[0].split()[2].rstrip(":")), int(where[0].split("(")[1].split(",")[0].split(")")[0])
    assert cost_at(seed, timestep) == 1.0


def cost_at(seed: int, timestep: int) -> float:
    """The cost of one timestep, played again by hand."""
    environment = maker(EnvironmentSpec(id=SIDES, kwargs={"edge": -2.0}))()
    environment.reset(seed=seed)
    for _ in range(timestep + 1):
        info = environment.step(0)[4]
    return float(info["cost"])


def test_a_cost_that_nobody_tells_is_no_pass(right: Path) -> None:
    found = only(run(right, {"constraints": {"costs": ["cosst"], "maxViolations": 0}}))
    assert found.verdict is Verdict.NO_DATA
    assert "did you mean 'cost'?" in found.message
    for cost in ("much", math.nan):
        with pytest.raises(BadConfiguration, match=r"info\['cost'\] is .*wanted a finite number"):
            run(right, {"constraints": {"maxViolations": 0}}, costs=cost)


# --- other worlds -----------------------------------------------------------------------------------------------------
def test_edge_cases_begin_where_they_are_told_to(right: Path, tmp_path: Path) -> None:
    starts = [{"name": "far left", "options": {"start": -3.0}}]
    gate = {"edgeCases": {"starts": starts, "minReturn": 9.0, "episodes": 100}}
    assert only(run(right, gate)).verdict is Verdict.PASS
    known = {"environment": SIDES, "returns": (0.0, 10.0)}
    afraid = artifact(tmp_path / "p", WHERE_IT_IS, output="logits", action=TWO, bias=(0.0, 8.0), **known)  # 1 above -4
    found = only(run(afraid, {"edgeCases": {"starts": starts, "minReturn": 6.0}}))
    assert found.verdict is Verdict.FAIL
    assert found.value == pytest.approx(4.5, abs=0.9), (
        "the first timestep is always wrong, the other nine half of the time"
    )


def test_a_world_that_takes_no_notice_was_not_tested(right: Path, tmp_path: Path) -> None:
    found = only(run(right, {"edgeCases": {"starts": [{"name": "x", "options": {"nothing": 1}}], "minReturn": 1.0}}))
    assert found.verdict is Verdict.NO_DATA
    assert "takes no notice of its options" in found.message
    same = only(run(right, {"dynamics": {"shifts": [{"name": "x", "kwargs": {"level": 0.0}}], "maxDrop": "10%"}}))
    assert same.verdict is Verdict.NO_DATA


def test_shifted_dynamics_are_played_in_their_own_world(tmp_path: Path) -> None:
    """A policy that always takes action 1 is right where the level is high: Phi(1) of the time, and Phi(-1)."""
    always = artifact(tmp_path / "p", [[0.0, 0.0], [0.0, 0.0]], output="logits", action=TWO, bias=(0.0, 1.0),
                      environment=SIDES, returns=(0.0, 10.0))  # fmt: skip
    shifts = [{"name": "up", "kwargs": {"level": 1.0}}, {"name": "down", "kwargs": {"level": -1.0}}]
    result = run(always, {"dynamics": {"shifts": shifts, "minReturn": 5.0, "episodes": 100}})
    [up, down] = result[0].measured.measurements
    assert (up.verdict, down.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert (up.value, down.value) == (pytest.approx(8.41, abs=0.5), pytest.approx(1.59, abs=0.5))
    assert set(result[0].measured.returns) == {"the policy", "up", "down"}


# --- latency ----------------------------------------------------------------------------------------------------------
def test_latency_is_held_to_its_limits(right: Path) -> None:
    result = run(right, {"latency": {"p50": "1s", "p99": "0.001ms"}})
    [p50, p99] = result[0].measured.measurements
    assert (p50.verdict, p99.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert 1e-3 < p50.low <= p50.value <= p50.high < 1000.0
    assert (p50.limit, p50.unit) == (1000.0, "ms")
    assert "policy.onnx on one thread" in result[0].measured.notes[0]


def test_a_slow_network_is_asked_often_enough_for_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "LONGEST_S", 0.0)
    seconds = latency.time_calls(lambda: None, stop=lambda: False)
    assert len(seconds) == latency.FEWEST
    for confidence in (0.5, 0.95, 0.999):
        found = latency.judge("p99", seconds, share=0.99, limit=timedelta(seconds=1), confidence=confidence)
        assert found.verdict is Verdict.PASS


def test_too_few_calls_are_told_as_that() -> None:
    found = latency.judge("p99", np.full(200, 0.1), share=0.99, limit=timedelta(seconds=1), confidence=0.95)
    assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES
    assert "so few calls have no upper bound" in found.message


# --- all together -----------------------------------------------------------------------------------------------------
def test_gates_of_one_kind_are_told_apart_and_all_are_run(right: Path) -> None:
    results = run(
        right,
        {"performance": {"minReturn": 11.0}},
        {"robustness": {"noise": [0.1], "minReturn": 5.0}},
        {"robustness": {"noise": [0.5], "minReturn": 5.0}},
    )
    assert [(one.name, one.verdict) for one in results] == [
        ("performance", Verdict.FAIL),
        ("robustness[0]", Verdict.PASS),
        ("robustness[1]", Verdict.PASS),
    ]


def test_few_copies_of_the_environment_are_alive_at_once(right: Path) -> None:
    """A simulator may fill the memory with a few."""
    gates: list[dict[str, Any]] = [
        {"performance": {"betterThan": "random"}},
        {"robustness": {"noise": [0.1, 0.2, 0.3], "minReturn": 1.0}},
        {"dynamics": {"shifts": [{"name": name, "kwargs": {"level": 1.0}} for name in "abc"], "minReturn": 1.0}},
    ]
    Sides.alive[:] = [0, 0]
    asked = [Gate.model_validate(one) for one in gates]
    run_gates(asked, read_artifact(right), EnvironmentSpec(id=SIDES), copies=3)
    now, most = Sides.alive
    assert now == 0
    assert 3 < most <= 2 * 3 + 2, "the reference's, those of what is disturbed, one to look at, and one that is tried"


def test_the_same_validation_gives_the_same_numbers(right: Path) -> None:
    gates: list[dict[str, Any]] = [
        {"robustness": {"noise": [0.3], "maxDrop": "20%"}},
        {"worstCase": {"maxDrop": "20%", "steps": 3}},
    ]
    first, again = ([one.measured.measurements for one in run(right, *gates)] for _ in range(2))
    assert first == again


UNFIT: dict[str, tuple[str, dict[str, Any], str]] = {
    "noise on choices": ("tasks:Rooms-v0", {"robustness": {"maxDrop": "10%"}}, "are not one array of numbers"),
    "a gradient of pictures": ("tasks:Picture-v0", {"worstCase": {"maxDrop": "10%"}}, "have no gradient"),
    "a keyword nobody has": (
        SIDES,
        {"dynamics": {"shifts": [{"name": "windy", "kwargs": {"wind": 3}}], "maxDrop": "10%"}},
        "windy: .*unexpected keyword argument 'wind'",
    ),
    "another space": (
        "tasks:Picture-v0",
        {"dynamics": {"shifts": [{"name": "small", "kwargs": {"side": 20}}], "maxDrop": "10%"}},
        "small: its spaces are",
    ),
    "options that fail": (
        "Pendulum-v1",
        {"edgeCases": {"starts": [{"name": "up", "options": {"x_init": "high", "y_init": 1}}], "minReturn": 1.0}},
        r"up: reset\(options=",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_cannot_be_measured_is_told_before_anything_is_trained(case: str) -> None:
    environment, gate, words = UNFIT[case]
    task = EnvironmentSpec(id=environment)
    with pytest.raises(BadConfiguration, match=f"(?s)gates: .*{words}"):
        check_gates([Gate.model_validate(gate)], maker(task)(), task)


def test_whoever_must_go_goes(right: Path) -> None:
    asked = iter([False] * 50 + [True] * 1000)
    gates = [Gate.model_validate({"performance": {"minReturn": 1.0}})]
    with pytest.raises(Stopped):
        run_gates(gates, read_artifact(right), EnvironmentSpec(id=SIDES), stop=lambda: next(asked))


def test_returns_are_told_start_by_start() -> None:
    """Countdown seeded s lasts s % 7 + 1 timesteps, and pays 1 for each here; episodes end in another order."""

    class Always:
        def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, object]:
            return np.ones(len(observation), int), None

    task = EnvironmentSpec(id="tasks:Countdown-v0")
    evaluator = Evaluator(maker(task), task, episodes=20, first_seed=0, copies=3)
    assert evaluator.returns(Always(), range(5, 25)).tolist() == [seed % 7 + 1 for seed in range(5, 25)]
    evaluator.close()
