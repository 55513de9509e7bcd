"""Episodes that do not begin where the weights send them: told once, no Pass meanwhile, never a rollback."""

from datetime import timedelta

from tests.unit.rollout.stage import ANALYSIS, KEY, Stage, digest
from tests.unit.rollout.test_stories import healthy

from belay_api.conditions import Condition, get_condition
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.status import RolloutPhase
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_operator.rollout.analysis.queries import outcome_query
from belay_operator.rollout.facts import Reading, StatisticsFact
from belay_operator.rollout.observe import KIND

ROLLOUT = ("RLRollout", "default", "cartpole")
WINDOW = timedelta(seconds=10)
MEAN, SPREAD = 480.0, 40.0
STEPS = [{"setWeight": 20}, {"analyze": {}}]


def begin(**spec: object) -> Stage:
    """The candidate has its weight for an hour."""
    stage = healthy("b", **{"steps": STEPS, "analysis": {**ANALYSIS, "metrics": ANALYSIS["metrics"][:1]}} | spec)
    stage.wants("b")
    stage.go(seconds=1)
    return stage.go(hours=1)


def episodes(stage: Stage, *windows: tuple[int, ...]) -> None:
    """Windows of (episodes of the candidate, of stable, of the anchor), from 20 s after the weight's change on."""
    status = stage.status
    assert status.candidate is not None
    assert status.stable is not None
    assert status.weight is not None
    assert status.weight.since is not None
    first = status.weight.since + timedelta(seconds=20)
    versions = [
        VersionStatistics(
            version=version,
            windows=[
                WindowStatistics(
                    start=first + index * WINDOW,
                    count=count,
                    missing=0,
                    mean=MEAN,
                    m2=SPREAD**2 * max(count - 1, 0),
                    min=MEAN - 2 * SPREAD,
                    max=MEAN + 2 * SPREAD,
                )
                for index, count in enumerate(counts)
            ],
        )
        for version, counts in zip(
            [side.policy for side in (status.candidate, status.stable, status.served_anchor) if side is not None],
            zip(*windows, strict=True),
            strict=False,  # an answer may leave the anchor out
        )
    ]
    answer = Statistics(outcome="return", at=stage.now, etag=f"{stage.now} {len(windows)}", versions=versions)
    asked = outcome_query("return", AnalysisSpec.model_validate(stage.world.objects[ROLLOUT]["spec"]["analysis"]))
    assert status.analysis_started_at is not None
    stage.world.facts["statistics", "default", "cartpole"] = StatisticsFact(
        status.candidate.policy,
        status.stable.policy,
        status.analysis_started_at,
        {"return": Reading("asked", stage.now, windows=answer, outcome_query=asked)},
    )


def off(stage: Stage) -> Condition | None:
    return get_condition(stage.recorded.conditions, "SampleRatio")


FAIR, LOST = (20, 80), (10, 80)


def test_a_candidate_that_loses_half_of_its_starts_does_not_pass() -> None:
    stage = begin()
    episodes(stage, *[LOST] * 30)
    stage.go(seconds=1)
    found = off(stage)
    assert found is not None
    assert (found.status, found.reason) == ("True", "SampleRatioMismatch")
    assert "11.11% of 2700 episodes began at the candidate, where its weights ask for 20.00%" in found.message
    assert stage.told.count("SampleRatioMismatch") == 1
    assert stage.weights == {"a": 8000, "b": 2000}
    (verdict,) = stage.recorded.verdicts
    assert (verdict.verdict, verdict.message) == ("NotEnoughSamples", found.message)

    episodes(stage, *[LOST] * 31)
    stage.go(seconds=10)
    assert off(stage) == found, "running numbers are no news"
    assert stage.told.count("SampleRatioMismatch") == 1


def test_fair_starts_pass() -> None:
    stage = begin()
    episodes(stage, *[FAIR] * 30)
    stage.go(seconds=1)
    assert off(stage) is None
    assert stage.status.phase is RolloutPhase.BAKING


def test_the_condition_goes_when_what_came_since_speaks_for_the_weights() -> None:
    stage = begin()
    episodes(stage, *[LOST] * 12)
    stage.go(seconds=1)
    assert off(stage) is not None
    episodes(stage, *[LOST] * 12, *[FAIR] * 4)
    stage.go(seconds=1)
    assert off(stage) is not None, "it does not come and go at the edge of the alarm"
    episodes(stage, *[LOST] * 12, *[FAIR] * 150)
    stage.go(seconds=1)
    assert off(stage) is None
    assert stage.status.phase is RolloutPhase.BAKING


def test_what_was_found_holds_for_an_operator_that_has_just_started() -> None:
    stage = begin()
    episodes(stage, *[LOST] * 30)
    stage.go(seconds=1)
    stage.world.facts.clear()
    stage.go(seconds=1)
    assert off(stage) is not None
    assert [one.verdict for one in stage.recorded.verdicts] == ["NotEnoughSamples"]


def test_a_regression_is_rolled_back_all_the_same_and_ends_the_condition() -> None:
    stage = begin()
    episodes(stage, *[LOST] * 30)
    stage.go(seconds=1)
    stage.command("abort@1")
    stage.go(seconds=1)
    assert off(stage) is None
    assert stage.weights == {"a": 10000}


def test_a_promotion_by_hand_ends_the_condition() -> None:
    stage = begin()
    episodes(stage, *[LOST] * 30)
    stage.go(seconds=1)
    stage.command("promote@1")
    stage.go(seconds=1)
    assert off(stage) is None
    assert stage.status.stable is not None
    assert stage.status.stable.digest == digest("b")


def third() -> Stage:
    """As `begin`, with c as candidate, b stable and a served beside them: 20, 60 and 20 %."""
    stage = begin(
        analysis={**ANALYSIS, "metrics": ANALYSIS["metrics"][:1], "anchor": "Serve"},
        bake={"duration": "1s", "keepWarm": "1m"},
    )
    episodes(stage, *[FAIR] * 30)
    stage.go(seconds=1).go(seconds=2)
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "b"
    stage.publish("c")
    stage.wants("c")
    stage.go(seconds=1)
    assert stage.weights == {"b": 6000, "c": 2000, "a": 2000}
    return stage.go(hours=1)


def test_beside_an_anchor_fair_starts_are_fair() -> None:
    stage = third()
    episodes(stage, *[(20, 60, 20)] * 30)
    stage.go(seconds=1)
    assert off(stage) is None
    assert stage.status.phase is RolloutPhase.BAKING


def test_an_anchor_that_loses_its_starts_withholds_pass_as_well() -> None:
    """Else what is left of it, its short episodes perhaps, would be what a candidate is held against."""
    stage = third()
    episodes(stage, *[(20, 60, 8)] * 40)
    stage.go(seconds=1)
    found = off(stage)
    assert found is not None
    assert "episodes began at a, the version approved last" in found.message
    assert stage.status.phase is RolloutPhase.PROGRESSING


def test_an_answer_that_leaves_the_anchor_out_tells_of_no_loss() -> None:
    """As the one after the trial asks for it no more."""
    stage = third()
    episodes(stage, *[(20, 60)] * 40)
    stage.go(seconds=1)
    assert off(stage) is None


def test_beside_an_anchor_a_candidate_that_loses_its_starts_is_found() -> None:
    stage = third()
    episodes(stage, *[(8, 60, 20)] * 40)
    stage.go(seconds=1)
    found = off(stage)
    assert found is not None
    assert "episodes began at the candidate" in found.message


def test_an_alarm_in_the_pass_that_raises_the_weight_is_recorded_before_the_raise() -> None:
    """The route may carry a raise ahead of status, and no condition that does not follow from the rest."""
    stage = begin(steps=[{"setWeight": 20}, {"pause": {"duration": "2h"}}, {"setWeight": 50}, {"analyze": {}}])
    episodes(stage, *[LOST] * 30)
    stage.world.log.clear()
    stage.later(hours=2)
    stage.passes()
    assert off(stage) is not None
    assert stage.told.count("SampleRatioMismatch") == 1
    assert stage.world.log[0] == "status RLRollout cartpole"


def test_a_trial_under_way_at_an_upgrade_is_judged_on_without_it() -> None:
    """The version before recorded when the weight changed, and not to which."""
    stage = begin()
    del stage.world.objects[ROLLOUT]["status"]["weightHistory"]
    episodes(stage, *[LOST] * 30)
    stage.go(seconds=1)
    assert off(stage) is None
    assert stage.status.phase is RolloutPhase.BAKING


def test_each_weight_is_recorded_with_its_percent() -> None:
    stage = begin(steps=[{"setWeight": 20}, {"pause": {"duration": "2h"}}, {"setWeight": 50}, {"analyze": {}}])
    stage.go(hours=2)
    recorded = stage.recorded
    assert [one.percent for one in recorded.weight_history] == [20, 50]
    assert [one.at for one in recorded.weight_history] == recorded.weight_changes
    assert all(one.asked_at <= one.at for one in recorded.weight_history)
    stage.command("abort@1")
    stage.go(seconds=1)
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1)
    assert stage.recorded.weight_history == []
    assert stage.world.would_write(KIND, KEY, stage.now) == []
