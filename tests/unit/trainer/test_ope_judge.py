"""What a judgement says, and above all when it says that nothing can be said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ope_worlds import DISCOUNT, LOGGING, TARGET, Table, small_world
from tests.chance import most_by_chance

from belay_api.reasons import Verdict
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration
from belay_trainer.ope import ESTIMATORS, Judgement, Logged, judge
from belay_trainer.ope.report import Subject, as_json, as_text, document
from belay_trainer.reporting.document import markdown

WORLD = small_world()
TRUTH = WORLD.value(TARGET, DISCOUNT)
LOG = WORLD.log(LOGGING, 400, np.random.default_rng(1))
BY_WEIGHTS = [name for name, estimator in ESTIMATORS.items() if estimator.BY_WEIGHTS]
REPLICATIONS = 120


def judged(dataset: Dataset = LOG, policy: Table = TARGET, **options: object) -> Judgement:
    return judge(Logged(dataset, policy, discount=DISCOUNT), **options)


def reasons(judgement: Judgement, names: list[str]) -> str:
    """The one reason that all of these estimators have."""
    found = {one.reason for one in judgement.estimates if one.estimator in names}
    assert len(found) == 1
    assert all(one.found is None for one in judgement.estimates if one.estimator in names)
    return str(found.pop())


def test_a_policy_near_the_logged_one_is_judged() -> None:
    found = judged()
    assert found.reason is None
    assert found.headline is not None
    assert found.headline.estimator == "wdr", "the first in order of preference"
    assert found.headline.found.low < TRUTH < found.headline.found.high
    assert found.logged.value == pytest.approx(WORLD.value(LOGGING, DISCOUNT), abs=0.4)
    assert {one.estimator for one in found.estimates if one.reason is None} == set(ESTIMATORS)
    assert found.notes == ()


def test_intervals_cover_and_little_is_refused() -> None:
    """Where 92 % are covered a test like this fails once in 10,000; `test_ope_coverage.py` measures how many are."""
    generator = np.random.default_rng(2)
    missed, refused = dict.fromkeys(ESTIMATORS, 0), []
    for _ in range(REPLICATIONS):
        for one in judged(WORLD.log(LOGGING, 200, generator)).estimates:
            refused += [(one.estimator, one.reason)] if one.reason else []
            missed[one.estimator] += one.found is not None and not one.found.low <= TRUTH <= one.found.high
    by_episode = {"is", "wis"}  # one long episode may outweigh all others, and then it is right to refuse
    assert {name for name, _ in refused} <= by_episode, refused
    assert len(refused) <= most_by_chance(REPLICATIONS * len(by_episode), 0.02)
    assert max(missed.values()) <= most_by_chance(REPLICATIONS, 0.08), missed


def test_a_regression_is_told_from_none_at_the_rate_that_was_asked_for() -> None:
    """Exactly at the limit a policy passes, and fails, in one judgement of forty each: of paired returns, one-sided."""
    logged = WORLD.value(LOGGING, DISCOUNT)
    at_limit = (logged - TRUTH) / abs(logged)  # negative: the policy is better, and has to be by as much
    generator = np.random.default_rng(5)
    verdicts = [
        judged(WORLD.log(LOGGING, 200, generator), max_regression=at_limit, estimators=["wdr"]).verdict
        for _ in range(REPLICATIONS)
    ]
    for wrong in (Verdict.PASS, Verdict.FAIL):
        assert verdicts.count(wrong) <= most_by_chance(REPLICATIONS, 0.04), verdicts
    wide, narrow = (judged(max_regression=share, estimators=["wdr"]).verdict for share in (0.3, -0.9))
    assert (wide, narrow) == (Verdict.PASS, Verdict.FAIL)


def test_a_margin_is_of_the_same_episodes() -> None:
    """What moves both returns alike is no uncertainty about their difference: it is narrower than two intervals."""
    found = judged(max_regression=0.05, estimators=["wdr"])
    assert found.margin is not None
    assert found.headline is not None
    apart = sum(one.high - one.low for one in (found.headline.found, found.logged))
    assert found.margin.high - found.margin.low < 0.75 * apart
    assert found.margin.value == pytest.approx(found.headline.found.value - 0.95 * found.logged.value)


def test_more_effective_episodes_can_be_asked_for() -> None:
    found = judged(least_effective=LOG.episodes + 1)
    assert found.headline is None
    assert found.verdict is None
    assert f"wanted {LOG.episodes + 1} at least" in str(found.reason)


def test_the_same_seed_gives_the_same_judgement() -> None:
    assert judged() == judged()


def test_actions_that_were_never_logged() -> None:
    never = WORLD.log(Table([[1, 0], [0.5, 0.5], [0.5, 0.5]]), 400, np.random.default_rng(3))
    found = judged(never)
    assert found.headline is None
    assert "takes actions that the log does not hold" in reasons(found, BY_WEIGHTS)
    assert "seldom does what was logged" in reasons(found, ["fqe"])
    assert 0.85 < found.mean_ratio < 0.99


def test_a_policy_that_goes_another_way_in_the_end() -> None:
    """Of 200 decisions only the last is another: all weights are small alike, so their effective size tells nothing."""
    episodes, length = 60, 200
    seen = np.tile(np.append(np.zeros(length - 1), 1.0), episodes)[:, None]
    generator = np.random.default_rng(4)
    log = Dataset(
        observations=seen,
        actions=np.where(seen[:, 0] == 1, 0, generator.integers(0, 2, len(seen))),
        rewards=generator.normal(size=len(seen)),
        starts=np.arange(0, len(seen) + 1, length),
        terminated=np.ones(episodes, dtype=bool),
        ids=tuple(map(str, range(episodes))),
        propensities=np.where(seen[:, 0] == 1, 1.0, 0.5),
    )
    found = judged(log, Table([[0.5, 0.5], [0.05, 0.95]]))
    assert "the weights of the logged episodes average 0.05 ±" in reasons(found, ["is", "wis"])
    assert found.headline.estimator == "wdr", "that decision's pay is discounted to nothing, decision by decision"


def test_a_policy_that_seldom_does_what_was_logged() -> None:
    away = Table([[0.02, 0.98], [0.98, 0.02], [0.02, 0.98]])
    found = judged(WORLD.log(Table(1 - away.table), 100, np.random.default_rng(4)), away)
    assert found.headline is None
    assert all(one.reason for one in found.estimates)
    assert "are worth" in found.reason


@pytest.mark.parametrize("episodes", [1, 19])
def test_a_log_of_a_few_episodes_is_told_as_that(episodes: int) -> None:
    """One episode has no standard error: that its ratios do not average 1 says nothing of the policy."""
    assert f"there are {episodes} logged episodes, wanted 20 at least" in reasons(
        judged(LOG.take(range(episodes))), list(ESTIMATORS)
    )


def test_wrong_propensities_are_found() -> None:
    even = replace(LOG, propensities=np.full(LOG.timesteps, 0.3))
    assert "`propensity` is not the probability" in reasons(judged(even), BY_WEIGHTS)


def test_without_propensities_a_model_is_advice() -> None:
    found = judged(replace(LOG, propensities=None))
    assert "no column `propensity`" in reasons(found, BY_WEIGHTS)
    assert found.headline is None
    assert "advice" in found.reason
    (model,) = [one for one in found.estimates if one.estimator == "fqe"]
    assert model.found.low < TRUTH < model.found.high
    assert found.mean_ratio is None


def test_a_model_speaks_where_it_was_asked_alone() -> None:
    found = judged(replace(LOG, propensities=None), estimators=["fqe"])
    assert found.headline.estimator == "fqe"


def test_a_density_and_a_probability_have_no_ratio() -> None:
    class Mean(Table):
        choices, stochastic = None, False

        def __init__(self) -> None:
            pass

        def sample(self, observations, generator):
            return np.zeros((len(observations), 1))

        def log_propensity(self, observations, actions):
            return np.where(actions[:, 0] == 0, 0.0, -np.inf)

    drawn = np.random.default_rng(5).normal(size=(LOG.timesteps, 1))
    density = np.exp(-0.5 * drawn[:, 0] ** 2) / np.sqrt(2 * np.pi)
    continuous = replace(LOG, actions=drawn, propensities=density)
    found = judge(Logged(continuous, Mean(), discount=DISCOUNT))
    assert "have no ratio" in reasons(found, BY_WEIGHTS)

    half = LOG.episode_of < LOG.episodes // 2  # by a controller, and half by one that draws
    mixed = replace(LOG, actions=np.where(half[:, None], 0.0, drawn), propensities=np.where(half, 1.0, density))
    assert "in 200 of 400 logged episodes each had propensity 1" in reasons(
        judge(Logged(mixed, Mean(), discount=DISCOUNT)), BY_WEIGHTS
    )

    same = replace(LOG, actions=np.zeros((LOG.timesteps, 1)), propensities=np.ones(LOG.timesteps))
    assert judge(Logged(same, Mean(), discount=DISCOUNT)).headline is not None


def cut_at(log: Dataset, cap: int) -> Dataset:
    """The same episodes, cut by a clock; what followed was logged."""
    whole, kept = log.lengths, log.step_of < cap
    beyond = np.minimum(log.starts[:-1] + cap, log.timesteps - 1)
    return replace(
        log,
        observations=log.observations[kept],
        actions=log.actions[kept],
        rewards=log.rewards[kept],
        propensities=log.propensities[kept],
        starts=np.concatenate([[0], np.cumsum(np.minimum(whole, cap))]),
        terminated=whole <= cap,
        last_observations=log.observations[beyond],
        last_known=whole > cap,
    )


def test_what_no_policy_can_return() -> None:
    """A model goes on where the clock has cut."""
    paid = replace(LOG, rewards=np.ones(LOG.timesteps))
    found = judged(cut_at(paid, 2), cap=2, estimators=["fqe"])
    assert found.headline is None
    assert "no policy's return lies outside 1 to 1.9" in found.reason


def test_repetitions_that_do_not_end() -> None:
    logged = Logged(LOG, TARGET, discount=DISCOUNT)
    logged.__dict__["model"] = replace(logged.model, radius=1.25)
    found = judge(logged, estimators=["fqe"])
    assert "does not converge" in found.reason
    assert "1.25 times larger" in found.reason


def test_estimators_that_disagree_are_told() -> None:
    logged = Logged(LOG, TARGET, discount=DISCOUNT)
    logged.__dict__["model"] = replace(logged.model, contributions=logged.model.contributions + 1.5)
    (note,) = judge(logged).notes
    assert "disagree" in note
    assert "`fqe`" in note


def test_an_interval_is_cut_to_what_is_possible() -> None:
    paid = replace(LOG, rewards=np.ones(LOG.timesteps))
    free, cut = judged(paid).headline.found, judged(paid, cap=5).headline.found
    most = sum(DISCOUNT**step for step in range(5))
    assert free.high < 1 / (1 - DISCOUNT)
    assert cut.value == free.value < most
    assert cut.high <= most


def test_a_log_may_have_longer_episodes_than_the_policy_was_trained_in() -> None:
    paid = replace(LOG, rewards=np.ones(LOG.timesteps))
    assert paid.lengths.max() > 5
    assert judged(paid, cap=1).headline is not None, "what was logged is possible"


def test_a_surer_interval_is_as_much_wider_as_a_normal_one() -> None:
    """Of few draws none lie far out, and intervals ceased to grow."""
    log = WORLD.log(LOGGING, 2_000, np.random.default_rng(3))
    width = {}
    for confidence in (0.95, 0.99, 0.999):
        found = judged(log, confidence=confidence, estimators=["wdr"]).headline.found
        width[confidence] = found.high - found.low
    assert width[0.99] / width[0.95] == pytest.approx(2.576 / 1.960, rel=0.06)
    assert width[0.999] / width[0.95] == pytest.approx(3.291 / 1.960, rel=0.08)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"estimators": ["wrd"]}, "'wrd' is not known: did you mean 'wdr'?"),
        ({"estimators": ["magic!"]}, "known are wdr, dr, wpdis, wis, pdis, is, fqe"),
        ({"confidence": 0.9999}, "confidence is 0.9999, wanted more than 0.5 and at most 0.999"),
    ],
)
def test_bad_questions(options: dict, said: str) -> None:
    with pytest.raises(BadConfiguration, match=said.replace("?", r"\?")):
        judged(**options)


def test_the_guide_names_every_estimator() -> None:
    guide = (Path(__file__).parents[3] / "docs/guides/judge-offline.md").read_text()
    assert [name for name in ESTIMATORS if f"\n| `{name}` |" not in guide] == []


SUBJECT = Subject(
    "policies/a",
    "sha256:" + "0" * 64,
    "Small-v0",
    "sampled",
    "log.parquet",
    "sha256:" + "1" * 64,
    LOG.timesteps,
    ("A note.",),
)


def test_a_report_shows_no_number_that_does_not_count() -> None:
    never = judged(WORLD.log(Table([[1, 0], [0.5, 0.5], [0.5, 0.5]]), 400, np.random.default_rng(3)))
    told = json.loads(json.dumps(as_json(never, SUBJECT), allow_nan=False))
    assert told["judged"] is False
    assert told["return"] is None
    assert all(one["return"] is None and one["reason"] for one in told["estimates"])
    for text in (as_text(never, SUBJECT), markdown(document(never, SUBJECT, picture=None))):
        assert "cannot be judged offline" in text
        assert "A note." in text
    assert "\nwdr, dr, wpdis, wis, pdis, is: π/b" in as_text(never, SUBJECT), "one reason is told once"


def test_a_report_says_what_was_found() -> None:
    found = judged()
    told = as_json(found, SUBJECT)
    assert told["judged"] is True
    assert told["estimator"] == "wdr"
    assert told["return"]["value"] == found.headline.found.value
    value = f"{found.headline.found.value:.4g}"
    assert value in as_text(found, SUBJECT)
    assert value in markdown(document(found, SUBJECT, picture="report.png"))
    assert "(report.png)" in markdown(document(found, SUBJECT, picture="report.png"))
