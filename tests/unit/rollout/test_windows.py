"""When a window is open: real zone data, and the days on which clocks are set."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rollout.stage import ANALYSIS, Stage
from tests.unit.rollout.test_approvals import says, stable

from belay_api.rollout.windows import Window
from belay_operator.rollout.windows import is_open, next_opening, zone_of

BERLIN = "Europe/Berlin"


def window(begins: str, ends: str, days: list[str] | None = None, zone: str = BERLIN) -> Window:
    return Window.model_validate({"from": begins, "to": ends, "timeZone": zone} | ({"days": days} if days else {}))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("one", "open_from", "closed_from"),
    [
        (window("09:00", "16:00"), "2026-07-06T07:00Z", "2026-07-06T14:00Z"),  # Monday, in summer
        (window("09:00", "16:00"), "2026-12-07T08:00Z", "2026-12-07T15:00Z"),
        (window("22:00", "02:00", ["Fri"]), "2026-07-10T20:00Z", "2026-07-11T00:00Z"),  # into Saturday
        (window("00:00", "24:00", ["Sat-Sun"]), "2026-07-10T22:00Z", "2026-07-12T22:00Z"),
        (window("00:00", "24:00", ["Sun-Mon"]), "2026-07-11T22:00Z", "2026-07-13T22:00Z"),
        (window("09:00", "17:00", zone="Asia/Kathmandu"), "2026-07-06T03:15Z", "2026-07-06T11:15Z"),
        # 29 March 2026: clocks in Berlin go from 02:00 to 03:00 at 01:00 UTC.
        (window("02:30", "04:00"), "2026-03-29T01:00Z", "2026-03-29T02:00Z"),
        (window("01:00", "02:30"), "2026-03-29T00:00Z", "2026-03-29T01:00Z"),
        (window("22:00", "02:30"), "2026-03-28T21:00Z", "2026-03-29T01:00Z"),
        # 25 October 2026: they go from 03:00 back to 02:00 at 01:00 UTC.
        (window("02:00", "03:00"), "2026-10-25T00:00Z", "2026-10-25T02:00Z"),
        (window("02:30", "04:00"), "2026-10-25T00:30Z", "2026-10-25T01:00Z"),  # and again, see below
        # Samoa had no 30 December 2011: it went from Thursday to Saturday.
        (window("00:00", "12:00", ["Sat"], "Pacific/Apia"), "2011-12-30T10:00Z", "2011-12-30T22:00Z"),
        # Lord Howe Island sets its clocks by half an hour.
        (window("02:15", "03:00", zone="Australia/Lord_Howe"), "2026-10-03T15:30Z", "2026-10-03T16:00Z"),
    ],
    ids=str,
)
def test_a_window_is_open_while_its_clocks_show_a_time_in_it(one: Window, open_from: str, closed_from: str) -> None:
    begins, ends, moment = at(open_from), at(closed_from), timedelta(milliseconds=1)
    assert not is_open([one], begins - moment)
    assert is_open([one], begins)
    assert is_open([one], ends - moment)
    assert not is_open([one], ends)
    assert next_opening([one], begins - timedelta(hours=3)) == begins


def test_a_time_that_is_there_twice_is_in_the_window_both_times() -> None:
    one = window("02:30", "04:00")
    assert next_opening([one], at("2026-10-25T01:10Z")) == at("2026-10-25T01:30Z")
    assert is_open([one], at("2026-10-25T02:59Z"))


def test_a_time_that_does_not_exist_opens_a_week_later() -> None:
    one = window("02:15", "02:45", ["Sun"])
    assert next_opening([one], at("2026-03-28T12:00Z")) == at("2026-04-05T00:15Z")


def test_of_several_the_first_opens() -> None:
    several = [window("09:00", "10:00", ["Wed"]), window("20:00", "21:00", ["Tue"]), window("05:00", "06:00", ["Thu"])]
    assert next_opening(several, at("2026-07-06T12:00Z")) == at("2026-07-07T18:00Z")


@pytest.mark.parametrize("zone", ["Europe/Berln", "Local", "Europe", "Mars/Base"])
def test_an_unknown_zone_says_what_to_write(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone; write a name such as Europe/Berlin or UTC"):
        zone_of(window("09:00", "16:00", zone=zone))


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.integers(0, 287),
    st.integers(0, 287),
    st.sampled_from([None, ["Mon"], ["Sun"], ["Mon-Thu", "Sat"]]),
    st.sampled_from([BERLIN, "UTC", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Chatham"]),
)
def test_nothing_opens_before_the_next_opening(
    now: datetime, begins: int, ends: int, days: list[str] | None, zone: str
) -> None:
    """Told another way: walk the minutes, and ask at each what the clock shows."""
    if begins == ends:
        return
    one = window(f"{begins // 12:02}:{begins % 12 * 5:02}", f"{ends // 12:02}:{ends % 12 * 5:02}", days, zone)
    now = now.replace(second=0, microsecond=0)
    if is_open([one], now):
        return
    opens = next_opening([one], now)
    minute = now
    while not is_open([one], minute):
        minute += timedelta(minutes=1)
    assert opens == minute


# --- in a rollout -----------------------------------------------------------------------------------------------------
OFFICE = [{"days": ["Mon-Thu"], "from": "09:00", "to": "16:00", "timeZone": BERLIN}]
UNJUDGED = ANALYSIS | {"metrics": []}
STEPS = [{"setWeight": 10}, {"pause": {"duration": "30s"}}, {"setWeight": 50}, {"pause": {"duration": "30s"}}]


def rollout(now: str = "2026-05-04T12:00Z", **spec: Any) -> Stage:
    """`a` serves since before; it is Monday noon unless said otherwise, and the window is open until 14:00 UTC."""
    stage = Stage(
        "a", "b", "c", **({"steps": STEPS, "windows": OFFICE, "analysis": UNJUDGED, "bake": {"duration": "1m"}} | spec)
    )
    stage.go()
    stage.now = at(now)
    stage.passes()
    return stage


def test_outside_its_windows_no_candidate_is_taken_up() -> None:
    stage = rollout("2026-05-07T15:00Z")  # Thursday, an hour past the end
    stage.wants("b")
    stage.go(seconds=1)
    assert stage.status.candidate is None
    assert stage.reason == "OutsideWindows"
    assert "the next opens at 2026-05-11T07:00:00Z" in stage.message
    stage.now = at("2026-05-11T07:00Z") - timedelta(milliseconds=1)
    stage.passes()
    assert stage.status.candidate is None
    stage.now = at("2026-05-11T07:00Z")
    stage.go()
    assert stage.weights == {"a": 9000, "b": 1000}


def test_a_step_under_way_keeps_its_weight_and_is_looked_at_again_when_the_window_opens() -> None:
    stage = rollout("2026-05-04T13:59:50Z")
    stage.wants("b")
    stage.go(seconds=1)
    assert stage.reason == "Paused", "the step has its say while it is not over"
    stage.go(minutes=1)
    assert stage.weights == {"a": 9000, "b": 1000}
    assert stage.reason == "OutsideWindows"
    assert "the next opens at 2026-05-05T07:00:00Z" in stage.message
    assert wakes(stage) == at("2026-05-05T07:00Z")
    stage.now = at("2026-05-05T07:00Z")
    stage.go()
    assert stage.weights == {"a": 5000, "b": 5000}


def wakes(stage: Stage) -> datetime:
    from tests.unit.rollout.stage import KEY

    from belay_operator.rollout.observe import KIND

    after = stage.world.plan(KIND, KEY, stage.now).requeue_after
    assert after is not None
    return stage.now + after


def test_a_raise_that_waited_for_pods_waits_for_the_window_too() -> None:
    stage = rollout("2026-05-04T13:58Z")
    stage.wants("b")
    stage.go(seconds=1)
    stage.ready("b", 0)
    stage.go(seconds=31)
    assert stage.reason == "WaitingForCapacity"
    stage.now = at("2026-05-04T14:01Z")
    stage.ready("b", 1)
    stage.go()
    assert stage.reason == "OutsideWindows"
    assert stage.weights == {"a": 9000, "b": 1000}


def test_nothing_is_promoted_at_night() -> None:
    stage = rollout("2026-05-04T13:59:30Z", steps=[])
    stage.wants("b")
    stage.go(seconds=1)
    stage.go(minutes=10)
    assert stage.weights == {"b": 10000}
    assert stable(stage) == "a"
    assert stage.reason == "OutsideWindows"
    stage.now = at("2026-05-05T07:00Z")
    stage.go()
    assert stable(stage) == "b"


def test_less_traffic_is_never_barred() -> None:
    steps = [{"setWeight": 50}, {"pause": {"duration": "1m"}}, {"setWeight": 5}, {"pause": {}}]
    stage = rollout("2026-05-04T13:59:50Z", steps=steps)
    stage.wants("b")
    stage.go(seconds=1).go(minutes=2)
    assert stage.weights == {"a": 9500, "b": 500}


def test_limits_and_a_person_act_at_night() -> None:
    limit = ANALYSIS["metrics"][1]
    stage = rollout("2026-05-04T13:59:50Z", analysis=ANALYSIS | {"metrics": [limit]})
    stage.wants("b")
    stage.go(seconds=1).go(minutes=2)
    stage.scrape("b", rate=50.0, slow=1.0)
    stage.passes()
    assert stage.weights == {"a": 10000}
    stage = rollout("2026-05-04T13:59:50Z")
    stage.wants("b")
    stage.go(seconds=1).go(minutes=2)
    assert says(stage, "promote@1") is None
    stage.go(seconds=1)
    assert stable(stage) == "b"


def test_the_way_back_is_open_at_night() -> None:
    for way in ("undo", "git"):
        stage = rollout("2026-05-04T13:00Z", steps=[])
        stage.wants("b")
        stage.go(seconds=1).go(minutes=2)
        assert stable(stage) == "b"
        stage.now = at("2026-05-04T14:00:01Z")
        stage.command("undo@1") if way == "undo" else stage.wants("a")
        stage.go()
        assert stable(stage) == "a", way
        assert stage.weights == {"a": 10000}


def test_a_first_version_is_not_kept_waiting() -> None:
    stage = Stage("a", windows=[OFFICE[0] | {"days": ["Sun"]}], analysis=UNJUDGED).go()
    assert stable(stage) == "a"


def test_an_unknown_zone_stops_the_steps_and_nothing_else() -> None:
    stage = rollout()
    stage.wants("b")
    stage.go(seconds=1)
    stage.world.patch("RLRollout", "cartpole", {"spec": {"windows": [OFFICE[0] | {"timeZone": "Europe/Berln"}]}})
    stage.go(minutes=2)
    assert stage.reason == "InvalidSpec"
    assert "spec.windows[0]: timeZone: 'Europe/Berln' is no time zone" in stage.message
    assert stage.weights == {"a": 9000, "b": 1000}
    assert says(stage, "abort@1") is None
    assert stage.weights == {"a": 10000}
