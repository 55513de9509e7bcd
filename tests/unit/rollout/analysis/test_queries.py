"""What is kept of an answer that has been judged, and for how long."""

import gc
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from belay_api.reasons import Verdict
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.margin import Margin
from belay_api.rollout.metric import Metric
from belay_api.wire import (
    CovariateStatistics,
    EarlierStatistics,
    LevelStatistics,
    Statistics,
    VersionStatistics,
    WindowStatistics,
)
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.evidence import Better, Comparison
from belay_operator.rollout.analysis.limits import Rail
from belay_operator.rollout.analysis.queries import Criterion, comparison_of, judged, limit_of
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.sources.serving import wanted

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)  # later: all reports that come have come
RETURN = Comparison("return", Better.MORE, Margin(0.1, relative=True))


def test_a_verdict_is_kept_as_long_as_its_answer_and_no_longer() -> None:
    """An answer holds all windows of the trial, and with live traffic there is another several times a second."""
    answer = Reading("asked", NOW, windows=Statistics(outcome="return", at=NOW, etag="1", versions=[]))
    asked = Criterion(RETURN, "b", "a", split(0.01, 1), grace=timedelta(minutes=1), since=None)
    assert judged(asked, answer) is judged(asked, answer)
    gone = weakref.ref(answer)
    del answer
    gc.collect()
    assert gone() is None


def metric(source: dict[str, Any], **judged_by: dict[str, Any]) -> Metric:
    return Metric.model_validate({"name": "m", "source": source} | judged_by)


@pytest.mark.parametrize(
    ("source", "judged_by", "words"),
    [
        ({"serving": "errorRate"}, {"compare": {"maxRegression": "5%"}}, "source.serving tells of none"),
        ({"logbook": {"outcome": "return"}}, {"limit": {"max": "5%"}}, "source.logbook has none"),
        ({"serving": "errorRate"}, {"limit": {"max": "100ms"}}, "limit 100ms is not a share; write e.g. 5%"),
        ({"serving": "latencyP99"}, {"limit": {"max": "5%"}}, "limit 5% is not a duration; write e.g. 100ms"),
        ({"serving": "latencyP99"}, {"limit": {"max": "61s"}}, "limit 61s is not within what pods measure"),
        ({"serving": "latencyP99"}, {"limit": {"max": "0s"}}, "limit 0s is not within what pods measure"),
        ({"serving": "errorRate"}, {"limit": {"min": "1%"}}, "write max instead"),
        ({"serving": "errorRate"}, {"limit": {"max": "100%"}}, "0 to below 1"),
    ],
)
def test_a_metric_is_judged_by_what_its_source_tells(
    source: dict[str, Any], judged_by: dict[str, dict[str, str]], words: str
) -> None:
    """The API server says so first, unless its CRD is of another version than the operator."""
    with pytest.raises(ValueError, match=words):
        _ = comparison_of(metric(source, **judged_by)), limit_of(metric(source, **judged_by))


@pytest.mark.parametrize(
    ("source", "one", "same"),
    [
        ("latencyP99", {"max": "100ms"}, {"max": "0.1s"}),
        ("latencyP99", {"max": "1s", "tolerates": "5s"}, {"max": "1000ms", "tolerates": "5000ms"}),
        ("latencyP99", {"max": "1s", "tolerates": "60s"}, {"max": "1s", "tolerates": "1m"}),
        ("errorRate", {"max": "5%"}, {"max": "0.05"}),
    ],
)
def test_units_do_not_matter(source: str, one: dict[str, str], same: dict[str, str]) -> None:
    assert limit_of(metric({"serving": source}, limit=one)) == limit_of(metric({"serving": source}, limit=same))


def test_what_a_limit_means() -> None:
    assert limit_of(metric({"serving": "latencyP99"}, limit={"max": "250ms"})) == Rail("m", 0.01, longest_s=0.25)
    asked = {"max": "2.5%", "falseRollbacksPerDay": 0.1, "tolerates": "2s"}
    assert limit_of(metric({"serving": "errorRate"}, limit=asked)) == Rail("m", 0.025, block_s=2.0, false_per_day=0.1)
    assert limit_of(metric({"logbook": {"outcome": "return"}}, compare={"maxRegression": "5%"})) is None


def test_a_limit_on_another_source_scrapes_no_pod_each_second() -> None:
    elsewhere = metric({"logbook": {"outcome": "return"}}, limit={"max": "5%"})
    watched = metric({"serving": "errorRate"}, limit={"max": "5%"})
    assert not wanted(AnalysisSpec(metrics=[elsewhere])).limits
    assert wanted(AnalysisSpec(metrics=[elsewhere, watched])).limits


def side(version: str, *windows: WindowStatistics, earlier: EarlierStatistics | None = None) -> VersionStatistics:
    return VersionStatistics(version=version, windows=list(windows), earlier=earlier)


def episodes(at: datetime, mean: float) -> WindowStatistics:
    return WindowStatistics(start=at, count=40, missing=0, mean=mean, m2=39 * 30.0**2, min=mean - 60, max=mean + 60)


@pytest.mark.parametrize("known", [True, False])
def test_what_stable_did_before_the_trial_lets_the_first_window_count(known: bool) -> None:
    """Without it the first window is what is learned from."""
    past = EarlierStatistics(count=100, mean=300, m2=99 * 30.0**2, min=220, max=390) if known else None
    sides = [side("b", episodes(NOW, 150.0)), side("a", episodes(NOW, 300.0), earlier=past)]
    answer = Reading("asked", NOW, windows=Statistics(outcome="return", at=NOW + HOUR, etag="1", versions=sides))
    asked = Criterion(RETURN, "b", "a", split(0.01, 1), grace=timedelta(minutes=1), since=None)
    assert (judged(asked, answer).verdict is Verdict.FAIL) == known


def test_windows_of_an_earlier_weight_are_what_is_known_at_the_next() -> None:
    before, now = NOW - timedelta(minutes=5), NOW
    sides = [side(v, *(episodes(at, m) for at in (before, now))) for v, m in (("b", 300.0), ("a", 300.0))]
    answer = Reading("asked", NOW, windows=Statistics(outcome="return", at=NOW + HOUR, etag="1", versions=sides))
    asked = Criterion(RETURN, "b", "a", split(0.01, 1), grace=timedelta(minutes=1), since=NOW)
    evidence = judged(asked, answer)
    assert evidence.interval is not None
    assert evidence.candidate is not None
    assert evidence.candidate.episodes == 40


def foreseen(at: datetime, mean: float, baseline: str | None, *, level: int = 0) -> WindowStatistics:
    """Forty episodes, a good half and a bad one, of which stable's critic knows."""
    window = WindowStatistics(
        start=at, count=40, missing=0, mean=mean, m2=40 * 100.0**2, min=mean - 110, max=mean + 110
    )
    if baseline is None:
        return window
    told = [
        LevelStatistics(level=one, count=20, mean=mean + off, m2=20 * 5.0**2, min=mean + off - 10, max=mean + off + 10)
        for one, off in ((level, -99.9), (4, 99.9))
    ]
    return window.model_copy(update={"covariate": CovariateStatistics(baseline=baseline, levels=told)})


@pytest.mark.parametrize(
    ("candidates", "stables", "asked_for", "used"),
    [
        ("a", "a", "a", True),
        ("a", "b", "a", False),  # the two sides were told of two critics
        ("b", "b", "a", False),  # of another stable's
        (None, "a", "a", False),  # the candidate's pods have none
        (None, None, "a", False),  # as before, or from an older logbook
        ("a", "a", None, False),
    ],
)
def test_outcomes_are_adjusted_where_stables_critic_spoke_of_each_episode(
    candidates: str | None, stables: str | None, asked_for: str | None, used: bool
) -> None:
    starts = [NOW + number * timedelta(minutes=1) for number in range(12)]
    sides = [
        side(version, *(foreseen(at, mean, baseline) for at in starts))
        for version, mean, baseline in (("b", 290.0, candidates), ("a", 300.0, stables))
    ]
    compared = Comparison("return", Better.MORE, Margin(0.1, relative=True), Range(0.0, 600.0))
    asked = Criterion(
        compared, "b", "a", split(0.01, 1), timedelta(minutes=1), None, window=timedelta(minutes=1), baseline=asked_for
    )
    plain = [side(it.version, *(w.model_copy(update={"covariate": None}) for w in it.windows)) for it in sides]
    found, without = (
        judged(asked, Reading("asked", NOW, windows=Statistics(outcome="return", at=NOW + HOUR, etag="1", versions=of)))
        for of in (sides, plain)
    )
    assert (found.explained is not None) is used
    if not used:
        assert found == without
        return
    assert found.explained is not None
    assert 0.6 < found.explained < 1, "less of the slope than all, where the range leaves no room for more"
    assert found.difference == without.difference
    assert (found.verdict, without.verdict) == (Verdict.PASS, Verdict.NOT_ENOUGH_SAMPLES)


def test_a_window_that_may_still_fill_counts_for_no_more_than_as_it_is() -> None:
    """A window is over once a start within it could be no news: at - grace - window."""
    starts = [NOW + number * timedelta(minutes=1) for number in range(4)]
    sides = [side(v, *(foreseen(at, m, "a") for at in starts)) for v, m in (("b", 240.0), ("a", 300.0))]
    compared = Comparison("return", Better.MORE, Margin(0.1, relative=True), Range(0.0, 600.0))
    asked = Criterion(
        compared, "b", "a", split(0.01, 1), timedelta(minutes=1), None, window=timedelta(minutes=1), baseline="a"
    )
    ends = starts[-1] + timedelta(minutes=2)
    intervals = []
    for at in (ends - timedelta(milliseconds=1), ends):
        reading = Reading("asked", NOW, windows=Statistics(outcome="return", at=at, etag="1", versions=sides))
        intervals.append(judged(asked, reading).interval)
    assert intervals[0] is not None
    assert intervals[1] is not None
    assert intervals[1][1] < intervals[0][1]
