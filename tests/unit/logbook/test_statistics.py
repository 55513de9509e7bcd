"""A look against a reference that keeps all episodes in a list and counts by the definitions."""

import math
import sqlite3
import statistics as reference
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from belay_api.receipts import Receipt
from belay_logbook.episodes import Report, record_outcomes, record_starts
from belay_logbook.schema import migrate
from belay_logbook.statistics import Look, compute
from belay_logbook.window_cache import WindowCache

EPOCH = 1_800_000_000_000  # ms; a multiple of no window below, so windows are cut where the clock cuts them
SPAN = 60_000

# Half seconds, so that reports and looks often fall exactly on the edge of a window or of grace.
starts = st.integers(0, SPAN // 500).map(lambda halves: halves * 500)
values = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([1e9, 1e9 + 1]))
delays = st.one_of(st.none(), starts, st.just("grace"))  # None: not reported; "grace": at the last moment
events = st.lists(
    st.tuples(starts, st.sampled_from("ab"), st.integers(0, 30), delays, values, st.booleans()),
    max_size=40,
)


class Model:
    """All episodes, and the definitions of wire.WindowStatistics read off one by one."""

    def __init__(self) -> None:
        self.episodes: dict[tuple[str, str], dict] = {}

    def start(self, version: str, name: str, started: int) -> dict:
        fresh = {"started": started, "reported": None, "value": None, "moved": False}
        return self.episodes.setdefault((version, name), fresh)

    def report(self, version: str, name: str, started: int, *, arrived: int, value: float | None, moved: bool) -> None:
        episode = self.start(version, name, started)
        if episode["reported"] is None:
            episode |= {"reported": arrived, "value": value, "moved": moved}

    def windows(self, version: str, at: int, window: int, grace: int, since: int) -> tuple[dict[int, tuple], int]:
        found: dict[int, tuple[list[float], int]] = {}
        moved = 0
        for (owner, _), episode in self.episodes.items():
            started = episode["started"]
            if owner != version or started < since or started >= at - grace:
                continue
            if episode["moved"]:
                moved += 1
                continue
            counted, missing = found.setdefault(started // window * window, ([], 0))
            in_time = episode["reported"] is not None and episode["reported"] - started <= grace
            if in_time and episode["value"] is not None:
                counted.append(episode["value"])
            else:
                found[started // window * window] = (counted, missing + 1)
        return found, moved

    def late(self, version: str, at: int, grace: int, since: int) -> int:
        return sum(
            owner == version
            and since <= episode["started"] < at - grace
            and not episode["moved"]
            and episode["value"] is not None
            and episode["reported"] - episode["started"] > grace
            for (owner, _), episode in self.episodes.items()
        )

    def longest(self, version: str, since: int) -> float | None:
        took = [
            max(0, episode["reported"] - episode["started"])
            for (owner, _), episode in self.episodes.items()
            if owner == version and episode["started"] >= since and episode["reported"] is not None
        ]
        return max(took) / 1000 if took else None


@settings(max_examples=150, deadline=None)
@given(
    rounds=st.lists(events, min_size=1, max_size=4),
    window=st.integers(1, 90),
    grace=st.integers(0, 40),
    since=st.one_of(st.just(0), starts),
    at=st.integers(0, 2 * SPAN // 500).map(lambda halves: halves * 500),
)
def test_looks_agree_with_the_definitions_also_after_late_arrivals(rounds, window, grace, since, at) -> None:
    connection = sqlite3.connect(":memory:")
    migrate(connection)
    cache, model = WindowCache(), Model()
    look = Look(
        namespace="ns",
        versions=("a", "b", "unknown"),
        outcome="return",
        window=timedelta(seconds=window),
        grace=timedelta(seconds=grace),
        since=datetime.fromtimestamp((EPOCH + since) / 1000, UTC),
    )
    for number, batch in enumerate(rounds):
        for started, version, name, delay, value, moved in batch:
            at_ms = EPOCH + started
            took = grace * 1000 if delay == "grace" else delay
            receipt = Receipt("ns", version, str(name), 0, datetime.fromtimestamp(at_ms / 1000, UTC))
            if took is None:
                cache.touch(record_starts(connection, [receipt]))
                model.start(version, str(name), at_ms)
            else:
                outcomes = {"length": 1.0} if value is None else {"return": value}
                cache.touch(record_outcomes(connection, [Report(receipt, outcomes, moved)], at_ms + took))
                model.report(version, str(name), at_ms, arrived=at_ms + took, value=value, moved=moved)
        now = EPOCH + at + number * 10_000
        answer = compute(connection, look, now, cache)
        assert compute(connection, look, now, WindowCache()).statistics.etag == answer.statistics.etag
        for version in answer.statistics.versions:
            want, moved_count = model.windows(version.version, now, window * 1000, grace * 1000, EPOCH + since)
            assert [round(it.start.timestamp() * 1000) for it in version.windows] == sorted(want)
            assert version.moved == moved_count
            late = model.late(version.version, now, grace * 1000, EPOCH + since)
            assert sum(it.late for it in version.windows) == late
            assert version.longest == model.longest(version.version, EPOCH + since)
            for found in version.windows:
                counted, missing = want[round(found.start.timestamp() * 1000)]
                assert (found.count, found.missing) == (len(counted), missing)
                if counted:
                    mean = reference.fmean(counted)
                    m2 = math.fsum((value - mean) ** 2 for value in counted)
                    assert found.mean is not None
                    assert math.isclose(found.mean, mean, rel_tol=1e-9, abs_tol=1e-9)
                    assert math.isclose(found.m2, m2, rel_tol=1e-6, abs_tol=1e-6)
                    assert (found.min, found.max) == (min(counted), max(counted))
                else:
                    assert (found.mean, found.m2, found.min, found.max) == (None, 0, None, None)
        young = [
            episode["started"]
            for (version, _), episode in model.episodes.items()
            if version in "ab" and episode["started"] >= max(now - grace * 1000, EPOCH + since)
        ]
        assert answer.due_ms == (min(young) + grace * 1000 + 2 if young else None)
    connection.close()


def test_a_window_past_grace_is_not_computed_again_until_it_is_touched() -> None:
    connection = sqlite3.connect(":memory:")
    migrate(connection)
    cache = WindowCache()
    receipts = [Receipt("ns", "a", str(i), 0, datetime.fromtimestamp(EPOCH / 1000 + i, UTC)) for i in range(1000)]
    cache.touch(record_outcomes(connection, [Report(it, {"return": 1.0}, False) for it in receipts], EPOCH))
    look = Look("ns", ("a",), "return", timedelta(seconds=60), timedelta(0), datetime.fromtimestamp(0, UTC))
    statements: list[str] = []

    def expensive() -> int:
        statements.clear()
        connection.set_trace_callback(statements.append)
        compute(connection, look, EPOCH + 2_000_000, cache)
        connection.set_trace_callback(None)
        return sum("COUNT(*) FILTER" in statement for statement in statements)

    assert expensive() >= 1000 // 60
    assert expensive() == 0
    late = Receipt("ns", "a", "late", 0, datetime.fromtimestamp(EPOCH / 1000 + 500, UTC))
    cache.touch(record_starts(connection, [late]))
    assert expensive() == 1


def test_a_reader_slower_than_a_write_does_not_remember_what_it_saw() -> None:
    cache = WindowCache()
    connection = sqlite3.connect(":memory:")
    migrate(connection)
    first = Receipt("ns", "a", "1", 0, datetime.fromtimestamp(EPOCH / 1000, UTC))
    cache.touch(record_starts(connection, [first]))
    look = Look("ns", ("a",), "return", timedelta(seconds=60), timedelta(0), datetime.fromtimestamp(0, UTC))
    remember = cache.remember

    def interrupted(key, windows, mark):
        late = Receipt("ns", "a", "2", 0, datetime.fromtimestamp(EPOCH / 1000 + 1, UTC))
        cache.touch(record_starts(connection, [late]))  # committed after the reader's snapshot, before it remembers
        remember(key, windows, mark)

    cache.remember = interrupted  # type: ignore[method-assign]
    compute(connection, look, EPOCH + 2_000_000, cache)
    cache.remember = remember  # type: ignore[method-assign]
    answer = compute(connection, look, EPOCH + 2_000_000, cache)
    assert answer.statistics.versions[0].windows[0].missing == 2
