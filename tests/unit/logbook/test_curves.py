"""What a curve shows of a training's past: of each seed, of its several lives, of days in a bounded number of rows."""

import json
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from belay_api.wire import RunEvaluation, RunProgress
from belay_logbook import curves
from belay_logbook.curves import MAX_METRICS, MOST, read_curves, thinned
from belay_logbook.errors import NotFound
from belay_logbook.progress import read_progress, record_progress
from belay_logbook.schema import STEPS, migrate


class Training:
    """A training of namespace `ns` as its pods tell of it, each heartbeat a second after the one before."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.at_ms = 0

    def beat(self, step: int, *, index: int = 0, life: str | None = "a", **more: Any) -> None:
        self.at_ms += 1000
        beat = RunProgress(job="j", uid="u", index=index, seed=0, step=step, total=10**18, life=life, **more)
        record_progress(self.connection, "ns", [beat], self.at_ms)

    def curve(self, metric: str = "bestReturn", *, index: int = 0, most: int = MOST) -> list[tuple[int, float]]:
        [found] = [one for one in read_curves(self.connection, "ns", "u", metric, most).items if one.index == index]
        assert len(found.steps) == len(found.at) == len(found.values)
        return list(zip(found.steps, found.values, strict=True))

    def steps(self, metric: str = "bestReturn") -> list[int]:
        return [step for step, _ in self.curve(metric)]

    def rows(self) -> int:
        (number,) = self.connection.execute("SELECT COUNT(*) FROM point").fetchone()
        return int(number)

    def newest(self) -> tuple[int, str | None]:
        """Return step and cursor as the operator reads them."""
        page = read_progress(self.connection, "id", "")
        [item] = page.items
        return item.step, page.cursor


def evaluation(step: int, mean: float) -> RunEvaluation:
    return RunEvaluation(step=step, mean=mean, std=2.5, episodes=20)


@pytest.fixture
def training() -> Iterator[Training]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield Training(connection)
    connection.close()


def test_a_curve_has_what_each_heartbeat_told_seed_by_seed(training: Training) -> None:
    training.beat(10, best_return=1.0, steps_per_second=50.0, metrics={"train/loss": 0.5})
    training.beat(10, index=3, best_return=7.0)
    training.beat(20, best_return=2.0)  # the loss is not measured at every step
    training.beat(30, best_return=2.0, metrics={"train/loss": 0.25})
    assert training.curve() == [(10, 1.0), (20, 2.0), (30, 2.0)]
    assert training.curve("train/loss") == [(10, 0.5), (30, 0.25)]
    assert training.curve(index=3) == [(10, 7.0)]
    found = read_curves(training.connection, "ns", "u", "train/loss", MOST)
    assert found.metrics == ["bestReturn", "stepsPerSecond", "train/loss"]
    assert [(one.index, [at.timestamp() for at in one.at]) for one in found.items] == [(0, [1.0, 4.0])]


def test_a_heartbeat_told_twice_is_one_point_at_the_time_of_the_first(training: Training) -> None:
    for _ in range(2):
        training.beat(10, best_return=1.0, evaluations=[evaluation(5, 1.0)])
        training.beat(20, best_return=2.0, evaluations=[evaluation(5, 1.0)])
    assert training.curve() == [(10, 1.0), (20, 2.0)]
    assert training.curve("return") == [(5, 1.0)]
    [one] = read_curves(training.connection, "ns", "u", "bestReturn", MOST).items
    assert [at.timestamp() for at in one.at] == [1.0, 2.0]
    assert training.rows() == 3


def test_the_numbers_of_a_step_are_the_ones_told_last(training: Training) -> None:
    training.beat(10)
    training.beat(10, best_return=4.0)  # an evaluation at that step is over meanwhile
    assert training.curve() == [(10, 4.0)]


def test_evaluations_stand_at_their_own_steps_and_no_flood_of_heartbeats_takes_them(training: Training) -> None:
    for step in range(1, 3 * MOST):
        done = step - step % 100
        training.beat(step, evaluations=[evaluation(done, done / 10)], metrics={"return": -1.0})
    assert training.curve("return") == [(step, step / 10) for step in range(0, 3 * MOST, 100)]
    assert {value for _, value in training.curve("return/std")} == {2.5}
    assert {value for _, value in training.curve("return/episodes")} == {20.0}


@pytest.mark.parametrize("stride", [1, 7, 1 << 40])
def test_a_run_of_any_length_costs_as_many_rows_and_always_keeps_its_newest_heartbeat(
    training: Training, stride: int
) -> None:
    for number in range(1, 3 * MOST):
        training.beat(number * stride, best_return=float(number))
        if number % 97 == 0:
            assert training.rows() <= MOST
            assert training.curve()[-1] == (number * stride, float(number))
    steps = training.steps()
    assert MOST / 2 <= len(steps) <= MOST
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    assert max(gaps) <= 4 * MOST * stride / len(steps), "evenly spread"


def test_a_first_heartbeat_may_come_late(training: Training) -> None:
    training.beat((1 << 63) - 1, best_return=1.0)
    training.beat(5, best_return=0.5)
    assert training.curve() == [(5, 0.5), ((1 << 63) - 1, 1.0)]


def test_after_a_resume_what_the_lost_life_did_beyond_is_not_shown(training: Training) -> None:
    for step in range(0, 101, 10):
        training.beat(step, best_return=1.0, evaluations=[evaluation(step, 1.0)])
    training.beat(52, life="b", resumed_from=50, best_return=2.0)
    assert training.curve() == [(step, 1.0) for step in range(0, 51, 10)] + [(52, 2.0)]
    assert training.steps("return") == list(range(0, 51, 10)), "of evaluations too, though the new life has none yet"
    training.beat(110, life="b", resumed_from=50, best_return=3.0)
    assert training.steps() == [*range(0, 51, 10), 52, 110]
    training.beat(106, life="c", resumed_from=105, best_return=4.0)
    assert training.steps() == [*range(0, 51, 10), 52, 106]


def test_a_heartbeat_of_a_lost_life_that_comes_late_changes_nothing(training: Training) -> None:
    training.beat(40, best_return=1.0)
    training.beat(100, best_return=1.0)
    training.beat(52, life="b", resumed_from=50, best_return=2.0)
    before = training.curve(), training.newest()
    training.beat(100, best_return=1.0)
    training.beat(52, best_return=9.0)
    assert (training.curve(), training.newest()) == before


def test_a_seed_killed_before_its_first_checkpoint_begins_its_curve_anew_and_is_told_at_once(
    training: Training,
) -> None:
    training.beat(100, best_return=1.0)
    training.beat(3, life="b", best_return=0.0)
    assert training.curve() == [(3, 0.0)]
    assert training.newest()[0] == 3


def test_of_two_lives_from_one_checkpoint_the_later_one_is_shown_and_told(training: Training) -> None:
    training.beat(50, best_return=1.0)
    training.beat(90, life="b", resumed_from=50, best_return=2.0)
    training.beat(60, life="c", resumed_from=50, best_return=3.0)
    assert training.curve() == [(50, 1.0), (60, 3.0)]
    assert training.newest()[0] == 60


def test_a_pod_that_beats_before_it_takes_up_its_checkpoint_loses_nothing(training: Training) -> None:
    training.beat(50, best_return=1.0)
    training.beat(0, life="b")
    training.beat(50, life="b", resumed_from=50)
    training.beat(60, life="b", resumed_from=50, best_return=2.0)
    assert training.curve() == [(60, 2.0)]  # the new pod's first word took the place of step 50: it says nothing of it
    assert training.newest()[0] == 60


def test_what_a_pod_waits_for_is_news_at_the_same_step_and_costs_no_curve(training: Training) -> None:
    def told() -> tuple[int, str | None, str | None]:
        [item] = read_progress(training.connection, "id", "").items
        return item.step, item.obstacle, read_progress(training.connection, "id", "").cursor

    training.beat(50, life="a", best_return=1.0)
    training.beat(100, life="a", best_return=2.0)
    *_, before = told()
    training.beat(100, life="a", best_return=2.0, obstacle="the disk is full")
    step, words, cursor = told()
    assert (step, words) == (100, "the disk is full")
    assert cursor != before, "it wakes who waits for news"
    training.beat(100, life="a", best_return=2.0, obstacle="the disk is full")
    assert told()[2] == cursor
    training.beat(100, life="a", best_return=2.0)
    assert told()[:2] == (100, None)

    # The next pod cannot reach its checkpoints, says so, and is killed while it waits.
    training.beat(0, life=None, obstacle="no answer")
    assert told()[:2] == (100, "no answer"), "how far the seed is stays known"
    training.beat(60, life="c", resumed_from=50, best_return=3.0)
    assert told()[:2] == (60, None)
    assert training.curve() == [(50, 1.0), (60, 3.0)]


def test_the_first_pod_of_a_seed_may_wait_before_it_begins(training: Training) -> None:
    training.beat(0, life=None, obstacle="no answer")
    [item] = read_progress(training.connection, "id", "").items
    assert (item.step, item.obstacle) == (0, "no answer")
    training.beat(0, life="a")
    training.beat(10, life="a", best_return=1.0)
    assert training.curve() == [(10, 1.0)]


def test_a_trainer_that_does_not_tell_its_life_is_told_apart_by_where_it_resumed(training: Training) -> None:
    training.beat(40, life=None, best_return=1.0)
    training.beat(100, life=None, best_return=1.0)
    training.beat(52, life=None, resumed_from=50, best_return=2.0)
    assert training.curve() == [(40, 1.0), (52, 2.0)]
    training.beat(7, life=None, attempt=2, best_return=3.0)
    assert training.curve() == [(7, 3.0)]


def test_names_without_end_are_not_kept_without_end(training: Training) -> None:
    for number in range(MAX_METRICS + 50):
        training.beat(number, metrics={f"loss/{number:03}": 1.0})
    assert training.rows() == MAX_METRICS + 50, "heartbeats themselves are"
    training.beat(1000, best_return=1.0, evaluations=[evaluation(1000, 2.0)])
    found = read_curves(training.connection, "ns", "u", "loss/000", MOST)
    assert len([name for name in found.metrics if name.startswith("loss/")]) == MAX_METRICS
    assert (training.curve(), training.curve("return")) == ([(1000, 1.0)], [(1000, 2.0)]), "ours have their place"


def test_a_metric_of_the_algorithm_does_not_pass_for_one_of_ours(training: Training) -> None:
    training.beat(1, metrics={"return": 9.0, "bestReturn": 9.0}, evaluations=[evaluation(1, 1.0)])
    assert training.curve("return") == [(1, 1.0)]
    with pytest.raises(NotFound):
        training.curve("bestReturn")


def test_a_reader_who_wants_few_points_still_sees_the_collapse_and_the_newest(training: Training) -> None:
    for step in range(1000):
        training.beat(step, best_return=-40.0 if step == 333 else 500.0 if step == 777 else step / 10)
    curve = training.curve(most=20)
    assert len(curve) <= 20
    assert {(333, -40.0), (777, 500.0), (0, 0.0), (999, 99.9)} <= set(curve)
    assert curve == sorted(curve)


def test_a_curve_of_no_more_points_than_wanted_is_told_as_it_is() -> None:
    points = [(step, 0, 1.0) for step in (5, 6, 9)]
    assert thinned(points, 3) == points
    assert thinned([], 3) == []


def test_trainings_of_other_namespaces_and_metrics_nobody_told_of_are_not_found(training: Training) -> None:
    training.beat(1, best_return=1.0, metrics={"train/loss": 1.0})
    with pytest.raises(NotFound, match="known: bestReturn, train/loss") as found:
        read_curves(training.connection, "ns", "u", "return", MOST)
    assert found.value.field == "metric"
    with pytest.raises(
        NotFound, match="this training has not told of it; the nearest is train/loss, known: bestReturn"
    ):
        read_curves(training.connection, "ns", "u", "train/los", MOST)
    for namespace, uid in (("other", "u"), ("ns", "another")):
        with pytest.raises(NotFound, match="has told anything") as found:
            read_curves(training.connection, namespace, uid, "bestReturn", MOST)
        assert found.value.field == "uid"


def test_the_database_of_a_logbook_without_curves_goes_on(tmp_path) -> None:
    """Layout 5, written by its own statements: the newest heartbeat is still told, and the next one begins a curve."""
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None)
    connection.executescript("".join(STEPS[:5]) + "PRAGMA user_version = 5;")
    body = {"job": "j", "uid": "u", "index": 0, "seed": 0, "step": 90, "total": 100, "namespace": "ns"}
    row = ("ns", "u", 0, 1, 90, 4, json.dumps(body | {"at": "2026-01-01T00:00:00Z"}))
    connection.execute(
        "INSERT INTO progress (namespace, uid, idx, attempt, step, seq, body) VALUES (?,?,?,?,?,?,?)", row
    )
    migrate(connection)
    training = Training(connection)
    assert training.newest() == (90, "id:4")
    with pytest.raises(NotFound):
        training.curve()
    training.beat(80, best_return=1.0, resumed_from=75)
    assert training.newest() == (80, "id:5")
    assert training.curve() == [(80, 1.0)]
    connection.close()


def test_the_operators_page_is_what_it_was(client: httpx.Client, logbook, namespace: str) -> None:
    """An operator of an earlier version refuses fields that it does not know, and reads no curves."""
    run = {"job": "j", "uid": "u", "index": 0, "seed": 0, "total": 9, "step": 1, "attempt": 1, "metrics": {"loss": 0.5}}
    more = {"life": "j-0-abcde", "evaluations": [{"step": 1, "mean": 3, "std": 0, "episodes": 20}]}
    assert client.post("/progress", json={"items": [run | more]}).json() == {"accepted": 1, "refused": []}
    items = httpx.get(f"{logbook.url}/v1/progress").json()["items"]
    [item] = [item for item in items if item["namespace"] == namespace]
    assert set(item) - {"at"} == {*run, "namespace"}


def test_curves_by_their_route(client: httpx.Client) -> None:
    run = {"job": "j", "uid": "u-1", "index": 0, "seed": 0, "total": 9}
    for step in range(10):
        told = {"step": step, "evaluations": [{"step": step, "mean": step / 2, "std": 1, "episodes": 20}]}
        assert client.post("/progress", json={"items": [run | told]}).json()["accepted"] == 1
    answer = client.get("/curves/u-1").raise_for_status().json()
    assert (answer["metric"], answer["metrics"]) == ("return", ["return", "return/episodes", "return/std"])
    [curve] = answer["items"]
    assert (curve["index"], curve["steps"], curve["values"]) == (0, [*range(10)], [step / 2 for step in range(10)])
    assert len(client.get("/curves/u-1", params={"points": 5}).json()["items"][0]["steps"]) <= 5
    wrong_points = [({"points": wrong}, "points") for wrong in ("2", "x", "-5", "", str(MOST + 1), "9" * 30)]
    for query, field in [*wrong_points, ({"metrik": "a"}, "metrik")]:
        refused = client.get("/curves/u-1", params=query)
        assert (refused.status_code, refused.json()["error"]["field"]) == (400, field), query
    missing = client.get("/curves/u-1", params={"metric": "train/loss"})
    assert missing.status_code == 404
    assert missing.json()["error"]["message"].endswith("known: return, return/episodes, return/std")
    assert client.get("/curves/u-2").json()["error"]["field"] == "uid"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"mean": float("nan")}, "mean"),
        ({"step": 1 << 63}, "step"),
        ({"step": -1}, "step"),
        ({"episodes": 0}, "episodes"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused_with_its_heartbeat_alone(
    client: httpx.Client, wrong: dict[str, Any], field: str
) -> None:
    run = {"job": "j", "uid": "u", "index": 0, "seed": 0, "total": 9, "step": 1}
    bad = run | {"evaluations": [{"step": 1, "mean": 3.0, "std": 0.0, "episodes": 20} | wrong]}
    answer = client.post("/progress", content=json.dumps({"items": [bad, run]})).json()
    assert answer["accepted"] == 1
    assert [refusal["error"]["field"] for refusal in answer["refused"]] == [f"items[0].evaluations[0].{field}"]


def test_a_wide_curve_is_read_from_its_own_rows_alone(training: Training) -> None:
    """One seek for the newest step of a curve, whatever else the table holds."""
    plan = training.connection.execute(
        f"EXPLAIN QUERY PLAN {curves._LONGEST}", {"training": 1, "index": 0, "evaluated": 0}
    )
    assert [row[3] for row in plan] == ["SEARCH point USING PRIMARY KEY (training=? AND idx=? AND evaluated=?)"]
