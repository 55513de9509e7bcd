"""A look against a reference that keeps all episodes in a list and counts by the definitions, to the last bit."""

import sqlite3
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_api.receipts import Foreseen, Receipt
from belay_api.wire import (
    CovariateStatistics,
    EarlierStatistics,
    LevelStatistics,
    Statistics,
    VersionStatistics,
    WindowStatistics,
)
from belay_logbook import sealed, statistics
from belay_logbook.episodes import Report, record_outcomes, record_starts
from belay_logbook.errors import BadRequest
from belay_logbook.schema import migrate
from belay_logbook.sealed import CHAPTER, PARTS, QUESTIONS, KeptWindow, Question, keep
from belay_logbook.statistics import Answer, Look, compute
from belay_logbook.windows import Windows

EPOCH = 1_800_000_000_000  # ms; a multiple of no window below, so windows are cut where the clock cuts them
SPAN = 60_000

# Half seconds, so that reports and looks often fall exactly on the edge of a window or of grace.
instants = st.integers(0, SPAN // 500).map(lambda halves: halves * 500)
hard = [0.1, 1e9, 1e9 + 1, 5e-324, 1e300, -0.1310228545387047]  # the last: read from JSON by SQLite 3.46, one bit off
numbers = st.one_of(st.floats(-1e6, 1e6), st.sampled_from(hard)).map(lambda x: x + 0.0)
values = st.one_of(st.none(), numbers)
delays = st.one_of(st.none(), instants, st.just("grace"))  # None: not reported; "grace": at the last moment
rollouts = st.sampled_from([None, "x", "y"])
critics = st.sampled_from(  # mostly one that judges all: else hardly any window has a covariate
    [None, *[Foreseen("a" * 64, level) for level in (0, 1, 4) for _ in range(4)], Foreseen("b" * 64, 1)]
)
users = st.sampled_from([None, 0, 1, 2, 3])
# Few names: an episode is told of again and again, also with another start.
events = st.lists(
    st.tuples(
        instants, st.sampled_from("ab"), rollouts, st.integers(0, 30), delays, values, st.booleans(), critics, users
    ),
    max_size=40,
)
looks = st.builds(
    lambda outcome, window, grace, since, rollout, cuts, by_user: Look(
        namespace="ns",
        versions=("a", "unknown", "b"),
        outcome=outcome,
        window=timedelta(seconds=window),
        grace=timedelta(seconds=grace),
        since=at(since),
        rollout=rollout,
        cuts=tuple(map(at, sorted(cuts))),
        by_user=by_user,
    ),
    st.sampled_from(["return", "lap-time"]),
    st.integers(1, 90),
    st.integers(0, 40),
    st.one_of(st.just(0), instants),
    rollouts,
    st.sets(instants, max_size=4),
    st.sampled_from([False, False, True]),
)

# Half of them the same question asked otherwise: then what one look kept is there for the others.
several = st.one_of(
    st.lists(looks, min_size=1, max_size=3),
    st.builds(
        lambda first, others: [first, *(replace(first, since=it.since, cuts=it.cuts) for it in others)],
        looks,
        st.lists(looks, min_size=1, max_size=2),
    ),
)


def at(offset_ms: float) -> datetime:
    return datetime.fromtimestamp((EPOCH + offset_ms) / 1000, UTC)


def receipt(
    version: str,
    name: object,
    started_ms: float,
    rollout: str | None = None,
    foreseen: Foreseen | None = None,
    *,
    user: int | None = None,
) -> Receipt:
    return Receipt("ns", version, str(name), 0, at(started_ms), rollout, foreseen, user)


class Model:
    """All episodes, and the definitions of wire.WindowStatistics read off one by one."""

    def __init__(self) -> None:
        self.episodes: dict[tuple[str, str | None, str], dict] = {}

    def start(
        self, key: tuple[str, str | None, str], started: int, foreseen: Foreseen | None, user: int | None
    ) -> dict:
        fresh = {
            "user": user,
            "started": started,
            "foreseen": foreseen,
            "reported": None,
            "value": None,
            "told": None,
            "moved": False,
        }
        return self.episodes.setdefault(key, fresh)

    def report(
        self,
        key: tuple[str, str | None, str],
        started: int,
        foreseen: Foreseen | None,
        *,
        user: int | None,
        arrived: int,
        value: float | None,
        moved: bool,
    ) -> None:
        episode = self.start(key, started, foreseen, user)
        if episode["reported"] is None:
            episode |= {"reported": arrived, "value": value, "told": arrived, "moved": moved}
        elif episode["value"] is None and value is not None and not moved:
            episode |= {"value": value, "told": arrived}

    def look(self, look: Look, now: int, etag: str) -> Statistics:
        versions = [self.version(look, version, now) for version in look.versions]
        return Statistics(
            outcome=look.outcome, at=datetime.fromtimestamp(now / 1000, UTC), etag=etag, versions=versions
        )

    def version(self, look: Look, version: str, now: int) -> VersionStatistics:
        since, grace, window = (
            round(it * 1000) for it in (look.since.timestamp(), look.grace.total_seconds(), look.window.total_seconds())
        )
        mine = [it for it in self.asked(look, version) if it["started"] >= since and self.counts(look, it, since)]
        took = [max(0, it["told"] - it["started"]) for it in mine if it["reported"] is not None]
        due = [it for it in mine if it["started"] < now - grace]
        windows: defaultdict[int, list[dict]] = defaultdict(list)
        for episode in due:
            if not episode["moved"]:
                cuts = [cut for cut in (cut.timestamp() * 1000 for cut in look.cuts) if cut <= episode["started"]]
                windows[round(max([episode["started"] // window * window, *cuts]))].append(episode)
        return VersionStatistics(
            version=version,
            windows=[self.window(start, windows[start], grace) for start in sorted(windows)],
            moved=sum(it["moved"] for it in due),
            longest=max(took) / 1000 if took else None,
            earlier=self.earlier(look, version, min(since, now - grace), grace),
        )

    def counts(self, look: Look, episode: dict, since: float) -> bool:
        """Whether it is a user's first in its rollout since then, where only those count."""
        if not look.by_user:
            return True
        # Versions are numbered by the database as it first hears of them.
        order = list(dict.fromkeys((version, rollout) for version, rollout, _ in self.episodes))
        (mine,) = (key for key, it in self.episodes.items() if it is episode)
        hers = [
            (it["started"], order.index(key[:2]), key[2])
            for key, it in self.episodes.items()
            if it["user"] is not None and (key[1], it["user"]) == (mine[1], episode["user"]) and it["started"] >= since
        ]
        return bool(hers) and min(hers) == (episode["started"], order.index(mine[:2]), mine[2])

    def earlier(self, look: Look, version: str, until: int, grace: int) -> EarlierStatistics | None:
        """The last episodes before the first window; here there are never more than a look tells of."""
        before = [it for it in self.asked(look, version) if it["started"] < until and not it["moved"]]
        told = self.window(0, before, grace)
        if not told.count:
            return None
        return EarlierStatistics(
            count=told.count, mean=told.mean, m2=told.m2, min=told.min, max=told.max, covariate=told.covariate
        )

    def asked(self, look: Look, *versions: str) -> list[dict]:
        """The episodes of the versions that the look counts, whenever they started."""
        return [
            episode
            for (version, rollout, _), episode in self.episodes.items()
            if version in versions and look.rollout in (None, rollout)
        ]

    def window(self, start: int, episodes: list[dict], grace: int) -> WindowStatistics:
        told = [it for it in episodes if it["reported"] is not None and it["value"] is not None]
        judged = [it for it in told if it["told"] - it["started"] <= grace]
        counted = [it["value"] for it in judged]
        mean, m2 = moments(counted)
        return WindowStatistics(
            start=datetime.fromtimestamp(start / 1000, UTC),
            count=len(counted),
            missing=len(episodes) - len(counted),
            late=len(told) - len(counted),
            mean=mean if counted else None,
            m2=m2,
            min=min(counted, default=None),
            max=max(counted, default=None),
            covariate=self.covariate(judged),
        )

    def covariate(self, judged: list[dict]) -> CovariateStatistics | None:
        critics = {it["foreseen"].baseline if it["foreseen"] else None for it in judged}
        if len(critics) != 1 or None in critics:
            return None
        levels = []
        for level in range(5):
            if values := [it["value"] for it in judged if it["foreseen"].level == level]:
                mean, m2 = moments(values)
                told = {"count": len(values), "mean": mean, "m2": m2, "min": min(values), "max": max(values)}
                levels.append(LevelStatistics(level=level, **told))
        return CovariateStatistics(baseline=critics.pop(), levels=levels)


def moments(values: list[float]) -> tuple[float, float]:
    """Mean and sum of squared deviations."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact) if exact else Fraction(0)
    try:
        return float(mean), float(sum((value - mean) ** 2 for value in exact))
    except OverflowError:
        return float(mean), 1.7976931348623157e308


class Open:
    """A database file that can be closed and opened again, and looks whose seals are kept sooner, later or never."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = self._connect()
        self.unkept: list[Answer] = []

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)
        return connection

    def again(self) -> None:
        self.connection.commit()
        self.connection.close()
        self.connection = self._connect()

    def look(self, look: Look, now: int) -> Answer:
        answer = compute(self.connection, look, now)
        self.unkept.append(answer)
        return answer

    def keep(self) -> None:
        for answer in self.unkept:
            for question, seal in answer.seals:
                keep(self.connection, question, [seal])
        self.unkept.clear()


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    return Open(tmp_path / "db")


def body_of(statistics: Statistics) -> bytes:
    return orjson.dumps(statistics.dump())


@settings(max_examples=250, deadline=None)
@given(
    rounds=st.lists(st.tuples(events, st.sampled_from(["keep", "late", "never", "again"])), min_size=1, max_size=5),
    asked=several,
    first=st.integers(0, 2 * SPAN // 500).map(lambda halves: halves * 500),
    steps=st.lists(st.sampled_from([-20_000, 1, 500, 10_000]), min_size=5, max_size=5),
    least=st.sampled_from([1, 3]),
    at_once=st.sampled_from([1, 4, 1000]),
    chapter=st.sampled_from([1, 2, 3]),
)
def test_looks_agree_with_the_definitions_to_the_last_bit(
    *, rounds, asked, first, steps, least, at_once, chapter
) -> None:
    """In any order of arrival, late or twice, whatever was kept and when, over restarts and a clock that goes back."""
    with (
        TemporaryDirectory() as folder,
        patch.multiple(statistics, LEAST=least, ROWS_AT_ONCE=at_once),
        patch.object(sealed, "CHAPTER", chapter),
    ):
        database, model = Open(Path(folder) / "db"), Model()
        etags: dict[bytes, str] = {}
        now = EPOCH + first
        for (batch, then), step in zip(rounds, steps, strict=False):
            for started, version, rollout, name, delay, value, moved, foreseen, user in batch:
                it, key = receipt(version, name, started, rollout, foreseen, user=user), (version, rollout, str(name))
                if delay is None:
                    record_starts(database.connection, [it])
                    model.start(key, EPOCH + started, foreseen, user)
                    continue
                outcomes = {"length": 1.0} if value is None else {"return": value, "lap-time": value}
                grace = round(asked[0].grace.total_seconds() * 1000)
                arrived = EPOCH + started + (grace if delay == "grace" else delay)
                record_outcomes(database.connection, [Report(it, outcomes, moved)], arrived)
                model.report(key, EPOCH + started, foreseen, user=user, arrived=arrived, value=value, moved=moved)
            if then == "late":
                database.keep()  # what looks before these episodes found: it must not stand in for them
            for look in asked:
                answer = database.look(look, now)
                wanted = model.look(look, now, answer.etag)
                assert answer.body == body_of(wanted)
                numbers = orjson.dumps([look.outcome, *(it.dump() for it in wanted.versions)])
                assert etags.setdefault(numbers, answer.etag) == answer.etag
                grace = round(look.grace.total_seconds() * 1000)
                young = [
                    it["started"]
                    for it in model.asked(look, *look.versions)
                    if it["started"] >= max(now - grace, look.since.timestamp() * 1000)
                    and model.counts(look, it, round(look.since.timestamp() * 1000))
                ]
                assert answer.due_ms == (min(young) + grace + 2 if young else None)
            if then in ("keep", "again"):
                database.keep()
            if then == "again":
                database.again()
            now += step
        assert len(set(etags.values())) == len(etags)
        database.connection.close()


def test_what_was_counted_of_a_user_is_not_kept_once_an_earlier_episode_is_told(opened: Open) -> None:
    """In the same window of the same version: as many count as before, and another one of them."""
    look = Look("ns", ("a",), "return", timedelta(seconds=10), timedelta(seconds=1), at(0), "x", by_user=True)
    means = []
    for started, name in ((2_000, "second"), (1_000, "first")):
        told = receipt("a", name, started, "x", user=7)
        record_outcomes(opened.connection, [Report(told, {"return": float(started)}, False)], EPOCH + started)
        opened.keep()  # what the look before found
        (side,) = orjson.loads(opened.look(look, EPOCH + 20_000).body)["versions"]
        means.append([window["mean"] for window in side["windows"]])
    assert means == [[2_000.0], [1_000.0]]


def test_an_outcome_that_shows_later_has_the_time_of_its_own_report(opened: Open) -> None:
    """What a customer buys within two weeks is told when it is known, and the return keeps its grace of seconds."""
    day = 86_400_000
    for arrived, outcomes in (
        (5_000, {"return": 3.0, "length": 5.0}),
        (13 * day, {"revenue": 0.1, "success": 1.0, "return": 9.0}),
        (14 * day, {"revenue": 7.0, "late": 2.0}),
    ):
        for _ in range(2):  # senders repeat what they are unsure of
            record_outcomes(opened.connection, [Report(receipt("a", "e", 0), outcomes, False)], EPOCH + arrived)
        told = {}
        for outcome, days in (("return", 0.001), ("revenue", 14), ("success", 14), ("late", 13.5)):
            asked = Look("ns", ("a",), outcome, timedelta(days=1), timedelta(days=days), at(-1))
            body = orjson.loads(opened.look(asked, EPOCH + 15 * day).body)
            (window,) = body["versions"][0]["windows"]
            told[outcome] = (window["count"], window["missing"], window["late"], window.get("mean"))
            opened.keep()  # what is kept of the window must not stand in for what is told after it
    assert told == {
        "return": (1, 0, 0, 3.0),
        "revenue": (1, 0, 0, 0.1),
        "success": (1, 0, 0, 1.0),
        "late": (0, 1, 1, None),
    }
    for days in (14, 16):  # with its only episode past grace, and under way
        revenue = Look("ns", ("a",), "revenue", timedelta(days=1), timedelta(days=days), at(-1))
        (version,) = orjson.loads(opened.look(revenue, EPOCH + 15 * day).body)["versions"]
        assert version["longest"] == 13 * 86_400


@pytest.mark.parametrize("outcome", ["return", "revenue"])
def test_what_a_further_report_told_meanwhile_is_not_covered_by_what_is_kept(opened: Open, outcome: str) -> None:
    """A look counts a window, a further report tells the outcome, and only then is kept what the look found."""
    day = 86_400_000
    record_outcomes(opened.connection, [Report(receipt("a", "e", 0), {"length": 5.0}, False)], EPOCH + 1_000)
    asked = Look("ns", ("a",), outcome, timedelta(days=1), timedelta(days=1), at(-day))
    opened.look(asked, EPOCH + 3 * day)
    record_outcomes(opened.connection, [Report(receipt("a", "e", 0), {outcome: 7.0}, False)], EPOCH + 2_000)
    opened.keep()
    (version,) = orjson.loads(opened.look(asked, EPOCH + 3 * day).body)["versions"]
    assert [(it["count"], it["missing"], it["mean"]) for it in version["windows"]] == [(1, 0, 7.0)]


def fill(database: Open, episodes: int, every_ms: int = 1000) -> None:
    for number in range(episodes):
        report = Report(receipt("a", number, number * every_ms), {"return": number / 7}, False)
        record_outcomes(database.connection, [report], EPOCH + number * every_ms)


def rows_read(database: Open, look: Look, now: int) -> int:
    """Return how many episodes a look counts one by one, and keep what it found."""
    read: list[int] = []
    real = statistics.tally
    with patch.object(statistics, "tally", lambda rows, grace: (read.append(len(rows)), real(rows, grace))[1]):
        database.look(look, now)
    database.keep()
    return sum(read)


def test_what_is_past_grace_is_counted_once_also_across_a_restart(opened: Open) -> None:
    fill(opened, 7200)
    look = Look("ns", ("a",), "return", timedelta(seconds=3600), timedelta(0), at(0))
    now = EPOCH + 7_000_000
    assert rows_read(opened, look, now) == 7000
    piece = 3600 // 32 + 1
    assert rows_read(opened, look, now) <= piece  # the part of the open window that no whole piece covers
    opened.again()
    assert rows_read(opened, look, now) <= piece
    assert 0 < rows_read(opened, look, now + 60_000) <= piece + 60  # later: only what has come of age since
    later = Look("ns", ("a",), "return", look.window, look.grace, at(1_000_000))
    assert rows_read(opened, later, now) <= 2 * piece  # another start cuts one more piece


def test_a_look_never_holds_all_rows_of_a_long_window(opened: Open) -> None:
    """The caller chooses the window; ten million rows in one list would end a process of 1 GiB."""
    fill(opened, 500)
    look = Look("ns", ("a",), "return", timedelta(days=366), timedelta(0), at(0))
    with (
        patch.object(statistics, "ROWS_AT_ONCE", 100),
        patch.object(statistics, "tally", wraps=statistics.tally) as counted,
    ):
        opened.look(look, EPOCH + 600_000)
    assert [len(call.args[0]) for call in counted.call_args_list] == [100] * 5


def windows_read(database: Open, look: Look, now: int) -> int:
    """Return how many rows of kept windows a look reads."""
    read: list[int] = []
    real = statistics.kept_windows

    def counted(*arguments: object) -> list[KeptWindow]:
        found = real(*arguments)
        read.append(len(found))
        return found

    with patch.object(statistics, "kept_windows", counted):
        database.look(look, now)
    database.keep()
    return sum(read)


def test_a_long_look_reads_chapters_and_a_late_arrival_opens_its_own_only(opened: Open) -> None:
    """A week of windows of a minute is ten thousand rows for each side, at every look."""
    fill(opened, 7200)
    look = Look("ns", ("a",), "return", timedelta(seconds=10), timedelta(0), at(0), rollout="")
    now = EPOCH + 7_200_000 - 1
    opened.look(look, now)
    opened.keep()
    most = 2 * CHAPTER  # of the chapters at both ends
    assert windows_read(opened, look, now) < most
    opened.again()
    assert windows_read(opened, look, now) < most
    body = opened.look(look, now).body
    record_starts(opened.connection, [receipt("a", "late", 3_600_500)])
    assert windows_read(opened, look, now) < most + CHAPTER
    assert windows_read(opened, look, now) < most
    cut = replace(look, cuts=(at(3_600_500),))
    opened.look(cut, now)
    opened.keep()
    assert windows_read(opened, cut, now) < most + CHAPTER + 2
    found, before = (orjson.loads(it)["versions"][0]["windows"] for it in (opened.look(look, now).body, body))
    assert [it["missing"] for it in found] == [int(number == 360) for number in range(len(before))]
    assert [it["count"] for it in found] == [it["count"] for it in before]


def test_a_late_arrival_opens_its_piece_only(opened: Open) -> None:
    fill(opened, 7200)
    look = Look("ns", ("a",), "return", timedelta(seconds=3600), timedelta(0), datetime.fromtimestamp(0, UTC))
    now = EPOCH + 20_000_000
    assert (rows_read(opened, look, now), rows_read(opened, look, now)) == (7200, 0)
    record_starts(opened.connection, [receipt("a", "late", 100_500)])
    assert 1 < rows_read(opened, look, now) <= 3600 // 32 + 2
    assert rows_read(opened, look, now) == 0
    record_starts(opened.connection, [receipt("a", "late", 100_500)])
    assert rows_read(opened, look, now) == 0  # told again: nothing was written


def test_a_report_opens_the_window_its_episode_stands_in(opened: Open) -> None:
    """A first decision that was asked twice has two receipts; the episode keeps the time that was told first."""
    record_starts(opened.connection, [receipt("a", "e", 0)])
    look = Look("ns", ("a",), "return", timedelta(seconds=1), timedelta(0), at(-10_000))
    answer = opened.look(look, EPOCH + 160_000)
    opened.keep()
    assert orjson.loads(answer.body)["versions"][0]["windows"][0]["late"] == 0
    record_outcomes(opened.connection, [Report(receipt("a", "e", 90_000), {"return": 1.0}, False)], EPOCH + 91_000)
    answer = opened.look(look, EPOCH + 160_000)
    assert orjson.loads(answer.body)["versions"][0]["windows"][0]["late"] == 1


def test_cuts_cost_nothing_once_their_windows_are_past_grace(opened: Open) -> None:
    fill(opened, 7200)
    cuts = tuple(map(at, (1_000_000, 1_000_500, 5_000_000)))
    look = Look("ns", ("a",), "return", timedelta(seconds=3600), timedelta(0), at(-3_600_000), cuts=cuts)
    now = EPOCH + 20_000_000
    assert rows_read(opened, look, now) == 7200
    assert rows_read(opened, look, now) == 0
    opened.again()
    assert rows_read(opened, look, now) == 0
    fewer = Look("ns", ("a",), "return", look.window, look.grace, look.since, cuts=cuts[2:])
    pieces = 2 * 2 * (3600 // 32 + 1)
    assert rows_read(opened, fewer, now) <= pieces  # other windows, put together from pieces and the rows at their ends
    assert (rows_read(opened, look, now), rows_read(opened, fewer, now)) == (0, 0)  # both are kept


def test_looks_with_other_cuts_share_no_windows(opened: Open) -> None:
    fill(opened, 3600)
    plain = Look("ns", ("a",), "return", timedelta(seconds=3600), timedelta(0), at(-3_600_000))
    early, late = (replace(plain, cuts=(at(cut),)) for cut in (1_000_000, 2_000_000))
    both = replace(plain, cuts=early.cuts + late.cuts)
    for _ in range(2):
        for look, wanted in [(plain, [3600]), (early, [1000, 2600]), (late, [2000, 1600]), (both, [1000, 1000, 1600])]:
            windows = orjson.loads(opened.look(look, EPOCH + 20_000_000).body)["versions"][0]["windows"]
            opened.keep()
            assert [window["count"] for window in windows] == wanted


def test_a_late_arrival_opens_the_part_of_a_window_that_it_stands_in(opened: Open) -> None:
    fill(opened, 3600)
    look = Look("ns", ("a",), "return", timedelta(seconds=3600), timedelta(0), at(-3_600_000), cuts=(at(1_000_000),))

    def counted() -> list[int]:
        windows = orjson.loads(opened.look(look, EPOCH + 20_000_000).body)["versions"][0]["windows"]
        opened.keep()
        return [window["count"] + window["missing"] for window in windows]

    assert [counted(), counted()] == [[1000, 2600]] * 2
    record_starts(opened.connection, [receipt("a", "late", 999_999), receipt("a", "late as well", 1_000_000)])
    assert [counted(), counted()] == [[1001, 2601]] * 2


def test_a_look_at_all_rollouts_is_the_sum_of_each(opened: Open) -> None:
    """To the last bit, also from what is kept; an episode's name is one rollout's business."""
    for number in range(400):
        for rollout in (None, "x", "y"):
            report = Report(receipt("a", number, number * 1000, rollout), {"return": number / 7}, False)
            record_outcomes(opened.connection, [report], EPOCH + number * 1000)
    now = EPOCH + 1_000_000
    for _ in range(2):
        bodies = []
        for rollout in ("x", None):
            look = Look("ns", ("a",), "return", timedelta(seconds=60), timedelta(0), at(0), rollout=rollout)
            bodies.append(orjson.loads(opened.look(look, now).body)["versions"][0]["windows"])
        opened.keep()
        one, all_of_them = bodies
        assert [window["count"] for window in all_of_them] == [3 * window["count"] for window in one]
        assert [window["mean"] for window in all_of_them] == [window["mean"] for window in one]
        assert sum(window["count"] for window in one) == 400


def test_cuts_cannot_fill_the_disk_with_parts(opened: Open) -> None:
    fill(opened, 2000)
    for number in range(PARTS // 2 + 20):
        cuts = (at(number * 10_000 + 500),)
        look = Look("ns", ("a",), "return", timedelta(seconds=1000), timedelta(0), at(-1_000_000), cuts=cuts)
        rows_read(opened, look, EPOCH + 9_000_000)
    (parts,) = opened.connection.execute("SELECT COUNT(*) FROM sealed_window WHERE part = 1").fetchone()
    (windows,) = opened.connection.execute("SELECT COUNT(*) FROM sealed_window WHERE part = 0").fetchone()
    assert PARTS // 2 < parts <= PARTS
    assert windows == 2


def test_looks_cannot_fill_the_disk_with_questions(opened: Open) -> None:
    fill(opened, 100)
    for grace in range(QUESTIONS + 8):
        look = Look("ns", ("a",), "return", timedelta(seconds=10), timedelta(seconds=grace), at(0))
        rows_read(opened, look, EPOCH + 500_000)
    count = opened.connection.execute("SELECT COUNT(*) FROM question").fetchone()[0]
    (orphans,) = opened.connection.execute(
        "SELECT COUNT(*) FROM sealed_window WHERE question NOT IN (SELECT id FROM question)"
    ).fetchone()
    assert (count, orphans) == (QUESTIONS, 0)
    assert rows_read(opened, look, EPOCH + 500_000) == 0  # the newest stays


def test_more_windows_than_an_answer_holds_is_a_bad_request(opened: Open) -> None:
    fill(opened, 50, every_ms=10_000)
    look = Look("ns", ("a",), "return", timedelta(seconds=1), timedelta(0), at(0))
    with patch.object(statistics, "MAX_WINDOWS", 49), pytest.raises(BadRequest, match="longer windows") as caught:
        compute(opened.connection, look, EPOCH + 1_000_000)
    assert caught.value.field == "window"


@given(st.integers(1, 100), st.lists(st.integers(0, 500), max_size=6))
def test_windows_follow_each_other_without_a_gap_and_none_spans_a_cut(window_ms: int, cuts: list[int]) -> None:
    windows, position, starts = Windows(Question(1, "return", window_ms, 0), cuts), 0, set()
    while position < 500:
        start, end = windows.around(position)
        assert start == position < end
        assert {windows.around(instant) for instant in range(start, end)} == {(start, end)}
        starts.add(start)
        position = end
    assert starts == {start for start in [*range(0, 500, window_ms), *cuts] if start < 500}


@given(st.integers(1, 100_000_000), st.integers(0, 1 << 45))
def test_pieces_cover_their_window_without_a_gap(window_ms: int, instant: int) -> None:
    question = Question(1, "return", window_ms, 0)
    start, end = question.window(instant)
    assert start <= instant < end == start + window_ms
    position, pieces = start, 0
    while position < end:
        first, behind = question.piece(position)
        assert first == position < behind <= end
        position, pieces = behind, pieces + 1
    assert pieces <= 32
    first, behind = question.piece(instant)
    assert first <= instant < behind


def test_a_look_tells_of_the_last_hundred_episodes_before_its_first_window(opened: Open) -> None:
    for n in range(150):
        report = Report(receipt("a", n, 1000 * n, "x"), {"return": float(n)}, False)
        record_outcomes(opened.connection, [report], EPOCH + 1000 * n + 500)
    look = Look("ns", ("a",), "return", timedelta(seconds=10), timedelta(seconds=1), since=at(140_000), rollout="x")
    (version,) = Statistics.model_validate_json(opened.look(look, EPOCH + 200_000).body).versions
    assert version.earlier is not None
    assert (version.earlier.count, version.earlier.min, version.earlier.max) == (100, 40.0, 139.0)
    assert version.earlier.mean == pytest.approx(89.5)
    assert sum(window.count for window in version.windows) == 10
