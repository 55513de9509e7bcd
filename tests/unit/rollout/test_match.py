"""A step `match` from the first request of its users to the promotion. Cases of single passes are in `cases/match`."""

from typing import Any

import pytest
from tests.unit.rollout.stage import ANALYSIS, Stage

from belay_api.rollout.status import SegmentStatus, WeightStatus
from belay_operator.rollout import segment

INTERNAL = [{"name": "x-user-group", "value": "internal"}]
STEPS = (
    {"match": {"headers": INTERNAL, "weight": 50}},
    {"pause": {"duration": "1h"}},
    {"setWeight": 10},
    {"pause": {"duration": "1h"}},
    {"setWeight": 60},
    {"pause": {"duration": "9h"}},
)
GOOD = {"a": (400, 1.0, 0.2), "b": (400, 1.0, 0.2)}


def matched(*steps: dict[str, Any], **spec: Any) -> Stage:
    """A rollout whose candidate b is at its first step."""
    stage = Stage("a", "b", "c", steps=[{"setWeight": 10}], **spec).go()
    stage.edits_steps(*(steps or STEPS))
    stage.wants("b")
    return stage.go()


def test_who_is_matched_comes_first_then_everybody_else_then_all_are_alike() -> None:
    stage = matched()
    assert (stage.weights, stage.segment, stage.compared) == ({"a": 10_000}, {"a": 5_000, "b": 5_000}, ["segment"])
    stage.go(hours=1.1)
    assert (stage.weights, stage.segment) == ({"a": 9_000, "b": 1_000}, {"a": 5_000, "b": 5_000})
    assert stage.compared == ["everybody"]
    stage.go(hours=1.1)
    assert (stage.weights, stage.segment) == ({"a": 4_000, "b": 6_000}, {"a": 4_000, "b": 6_000})
    assert stage.compared == ["everybody", "segment"]
    assert [one.segment for one in stage.status.weight_history] == [True, True, None]
    changes = stage.status.weight_changes
    assert len(changes) == 3, "no window of episodes spans a change of who is compared"
    assert stage.status.weight is not None
    assert stage.status.weight.since == changes[-1]


def test_evidence_of_other_users_counts_for_no_pass() -> None:
    """The number is the same; what was accepted and measured of the matched says nothing of everybody."""
    stage = matched(STEPS[0], STEPS[1], {"setWeight": 50}, {"pause": {}})
    assert stage.status.weight is not None
    before = stage.status.weight.since
    stage.go(hours=1.1)
    assert stage.status.weight.desired == 50
    assert before is not None
    assert stage.status.weight.since is not None
    assert stage.status.weight.since > before


def test_promoted_from_the_segment_everybody_gets_it_at_once() -> None:
    stage = matched()
    stage.command("promote@1")
    stage.go(seconds=1)
    assert (stage.weights, stage.segment, stage.compared) == ({"b": 10_000}, {"b": 10_000}, ["everybody", "segment"])
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "b"


def test_the_next_candidate_begins_with_nobody() -> None:
    stage = matched()
    stage.command("abort@1")
    stage.go(seconds=1)
    assert (stage.weights, stage.segment) == ({"a": 10_000}, {"a": 10_000})
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.edits_steps({"pause": {}})
    stage.wants("c")
    stage.go(seconds=1)
    assert stage.status.candidate is not None
    assert stage.status.candidate.policy == "c"
    assert (stage.weights, stage.segment) == ({"a": 10_000}, {"a": 10_000})


@pytest.mark.parametrize("ends", ["by an equal weight", "by a rollback"])
def test_stable_is_not_watched_by_the_episodes_of_some_users(ends: str) -> None:
    stage = matched(STEPS[0], {"pause": {"duration": "1h"}}, {"setWeight": 50}, {"pause": {}})
    watch = list(stage.status.watch)
    assert watch
    stage.go(minutes=30)
    assert stage.status.watch == watch, "nothing is counted while some are aside"
    if ends == "by an equal weight":
        stage.go(minutes=40)
    else:
        stage.command("abort@1")
        stage.go(seconds=1)
        for _ in range(3):
            stage.later(seconds=2)
            stage.scrape("b", rate=0.0)
        stage.go(seconds=1)
        assert stage.status.candidate is None
    assert all(one.counted_until > old.counted_until for one, old in zip(stage.status.watch, watch, strict=True))


@pytest.mark.parametrize(
    ("steps", "metrics", "words"),
    [
        ([{"setWeight": 5}, STEPS[0]], [], "match comes after a setWeight above 0"),
        ([STEPS[0], {"shadow": {}}], [], "shadow comes after a match"),
        ([STEPS[0], {"setWeight": 0}, {"shadow": {}}], [], "shadow comes after a match"),
        ([{"match": {"headers": INTERNAL}}, {"analyze": {}}], [], "Write match.weight, e.g. 50"),
        (
            [STEPS[0]],
            [
                {
                    "name": "revenue",
                    "source": {"prometheus": {"address": "http://p:9090", "query": 'sum(x{p="{{version}}"})'}},
                    "compare": {"maxRegression": "10%"},
                    "dryRun": True,
                }
            ],
            "the metric revenue compares the two by series that do not tell users apart",
        ),
    ],
    ids=["late", "before a shadow", "before a shadow, taken back", "nobody to compare with", "series"],
)
def test_what_would_compare_users_or_wait_for_ever_is_refused(
    steps: list[dict[str, Any]], metrics: list[dict[str, Any]], words: str
) -> None:
    stage = matched(*steps, analysis=ANALYSIS | {"metrics": [*ANALYSIS["metrics"], *metrics]})  # type: ignore[misc]
    assert stage.reason == "InvalidSpec"
    assert words in stage.message
    assert stage.weights == {"a": 10_000}


def test_part_of_the_matched_is_compared_and_passes_by_their_episodes() -> None:
    stage = matched(STEPS[0], {"analyze": {}}, {"setWeight": 10}, {"pause": {}})
    assert stage.reason == "Analyzing"
    stage.go(minutes=2)
    stage.episodes("return", GOOD)
    stage.scrape("b", rate=50.0)
    for _ in range(40):
        stage.later(seconds=1)
        stage.scrape("b", rate=50.0)
        stage.scrape("a", rate=50.0)
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    assert stage.weights == {"a": 9_000, "b": 1_000}


def share(desired: float, *, of: str = "", weight: float = 0, alone: bool = True) -> Any:
    theirs = SegmentStatus(headers={"x-user-group": of}, weight=weight, alone=alone) if of else None
    return WeightStatus(desired=desired, segment=theirs)


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        (None, share(50, of="internal", weight=50), True),
        (share(50, of="internal", weight=50), share(5, of="internal", weight=50, alone=False), True),
        (share(5, of="internal", weight=50, alone=False), share(0), False),
        (share(50, of="internal", weight=50), share(20, of="internal", weight=20), False),
        (share(50, of="internal", weight=50), share(20, of="staff", weight=20), True),
        (share(50, of="internal", weight=50), share(50), True),
        (share(50, of="internal", weight=50), share(0), False),
        (share(10), share(10, of="internal", weight=10), False),
    ],
)
def test_more_is_what_anybody_gets_more_of(before: Any, after: Any, *, more: bool) -> None:
    """Windows, pauses and pods bar it: by the number alone a way from 50 % of a few to 5 % of all would be a fall."""
    assert segment.raises(before, after) is more


def test_blue_green_is_a_preview_by_a_header_then_all_at_once_and_one_step_back() -> None:
    preview = {"match": {"headers": [{"name": "x-preview", "value": "next"}]}}
    stage = matched(preview, {"approve": {}}, {"setWeight": 100})
    assert (stage.weights, stage.segment, stage.reason) == ({"a": 10_000}, {"b": 10_000}, "ApprovalNeeded")
    assert stage.compared == ["segment"], "what all users do is held against nobody's preview"
    stage.command("approve@1")
    stage.go(seconds=1)
    assert (stage.weights, stage.segment) == ({"b": 10_000}, {"b": 10_000})
    stage.command("promote@2")
    stage.go(seconds=1)
    stage.command("undo@3")
    stage.go(seconds=1)
    assert (stage.weights, stage.segment) == ({"a": 10_000}, {"a": 10_000}), "the version before was still warm"
