"""A study and its journal: who has which trial, what is best, what mattered, and what others wrote into it."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from search_support import BOWL_TRIALS, distance, make_spec, make_study, missed_bowl_by, work
from trainer_support import LogbookServer, until

from belay_trainer.errors import StoreUnavailable
from belay_trainer.logbook import connect
from belay_trainer.search.journal import FileLines, LogbookLines
from belay_trainer.search.study import _FAILED, Study

PROCESSES, TRIALS = 3, 24
KEY = bytes(range(32))


def work_at(where: Path | str, worker: int, results: Any) -> None:
    lines = FileLines(where) if isinstance(where, Path) else _at_logbook(where)
    results.put(work(make_study(lines, worker=worker, spec=make_spec(trials=TRIALS)), distance))


def _at_logbook(url: str) -> LogbookLines:
    return LogbookLines(connect(url, Path("no-token")), namespace="demo", uid="1111-2222")


@pytest.fixture(params=["file", "logbook"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "file":
        return tmp_path / "journal.jsonl"
    server: LogbookServer = request.getfixturevalue("logbook")
    return server.url


def test_many_workers_do_every_trial_once(where: Path | str) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=work_at, args=(where, n, results)) for n in range(PROCESSES)]
    for process in processes:
        process.start()
    shares = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(number for share in shares for number in share) == list(range(TRIALS))
    assert sum(bool(share) for share in shares) > 1, "one did all: the test shows nothing"
    lines = FileLines(where) if isinstance(where, Path) else _at_logbook(where)
    status = make_study(lines, spec=make_spec(trials=TRIALS)).status()
    assert (status.finished, status.ended) == (TRIALS, TRIALS)


def test_a_trial_whose_pod_was_killed_is_taken_up_by_the_next_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "j"
    first, other = make_study(path).next(), make_study(path, worker=1).next()
    again = make_study(path).next()
    assert first is not None
    assert other is not None
    assert again is not None
    assert (again.number, again.settings) == (first.number, first.settings) != (other.number, other.settings)

    study = make_study(path)
    third = study.next()
    assert third is not None
    assert third.number == 2, "killed twice: it has failed"
    status = study.status()
    assert (status.failed, status.ended) == (1, 1)
    assert status.message == "trial 0: its pod ended 2 times without a word, perhaps for want of memory."


def test_a_pod_that_was_asked_to_go_is_not_to_blame(tmp_path: Path) -> None:
    for _ in range(5):
        study = make_study(tmp_path / "j")
        trial = study.next()
        assert trial is not None
        assert trial.number == 0
        study.put_back(trial)


def test_no_more_trials_begin_than_were_asked_for(tmp_path: Path) -> None:
    spec = make_spec(trials=1)
    first, second = (make_study(tmp_path / "j", worker=worker, spec=spec) for worker in range(2))
    # Both look before either begins.
    second._trials = lambda *states: [] if not states else Study._trials(second, *states)  # type: ignore[method-assign]
    assert first.next() is not None
    assert second.next() is None
    assert first.status().ended == 0


def test_the_settings_of_a_trial_follow_from_what_was_before_it(tmp_path: Path) -> None:
    def found(path: Path, *, restart_every: int) -> list[dict[str, Any]]:
        drawn: list[dict[str, Any]] = []
        study = make_study(path, spec=make_spec(trials=30))
        while True:
            if len(drawn) % restart_every == 0:
                study = make_study(path, spec=make_spec(trials=30))
            if (trial := study.next()) is None:
                return drawn
            study.finish(trial, distance(trial.settings))
            drawn.append(trial.settings)

    once, often = found(tmp_path / "a", restart_every=100), found(tmp_path / "b", restart_every=1)
    assert once == often
    assert len({one["learning_rate"] for one in once}) == 30, "a pod that begins anew draws what it drew before"


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_search_finds_a_known_optimum_better_than_chance_does(sampler: str, tmp_path: Path) -> None:
    """One search against the median of what as many random trials miss it by; tests/long/trainer has twenty."""
    drawn = np.random.default_rng(0).uniform([-7, 0], [0, 1], (1000, BOWL_TRIALS, 2))
    chance = np.median(((drawn[..., 0] + 3) ** 2 + 10 * (drawn[..., 1] - 0.8) ** 2).min(axis=1))
    assert missed_bowl_by(tmp_path / "j", sampler, first_seed=0) < chance / 2


def test_what_decides_has_the_importance(tmp_path: Path) -> None:
    study = make_study(tmp_path / "j", spec=make_spec(trials=60, sampler="random"))
    work(study, distance)
    importance = study.status(importance=True).importance
    assert importance is not None
    assert importance["learning_rate"] > 0.9
    assert sum(importance.values()) == pytest.approx(1, abs=0.01)

    few = make_study(tmp_path / "few", spec=make_spec(trials=9, sampler="random"))
    work(few, distance)
    assert few.status(importance=True).importance is None


def test_where_all_came_to_the_same_nothing_has_an_importance(tmp_path: Path) -> None:
    study = make_study(tmp_path / "j", spec=make_spec(trials=20, sampler="random"))
    work(study, lambda settings: -1.0)
    assert study.status(importance=True).importance is None


def test_a_trial_whose_failure_was_half_told_may_succeed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    study = make_study(path)
    trial = study.next()
    assert trial is not None
    study._storage.set_trial_user_attr(trial.handle._trial_id, _FAILED, "OSError: transient")  # and was killed
    later = make_study(path)
    again = later.next()
    assert again is not None
    assert again.number == trial.number
    later.finish(again, 99.0)
    status = later.status()
    assert (status.finished, status.failed) == (1, 0)
    assert status.best is not None
    assert status.best.value == 99.0


def test_a_trial_that_failed_counts_as_the_worst_and_is_never_best(tmp_path: Path) -> None:
    study = make_study(tmp_path / "j", spec=make_spec(trials=4))
    ends = []
    for value in (None, -3.0, None):
        trial = study.next()
        assert trial is not None
        if value is None:
            study.fail(trial, f"trial {trial.number}: diverged", worst=True)
        else:
            study.report(trial, 1, value)
            study.finish(trial, value)
        ends.append(study.rows()[-1])
    assert [end for _, end, *_ in ends] == ["failed", "finished", "failed"]
    status = study.status()
    assert (status.failed, status.finished) == (2, 1)
    assert status.best is not None
    assert (status.best.trial, status.best.value) == (1, -3.0)
    assert status.message == "trial 2: diverged"
    values = {t.number: t.value for t in study._trials()}
    assert values == {0: None, 1: -3.0, 2: -3.0}, "what the sampler learns from"


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_a_pruner_ends_the_bad_and_lets_the_good_go_on(pruner: str, tmp_path: Path) -> None:
    study = make_study(tmp_path / "j", spec=make_spec(trials=40, pruner=pruner, sampler="random"))
    used: dict[bool, list[int]] = {True: [], False: []}
    while (trial := study.next()) is not None:
        value, place = distance(trial.settings), 0
        for place in range(1, 11):
            study.report(trial, place, value)
            if study.hopeless(trial):
                study.prune(trial)
                break
        else:
            study.finish(trial, value)
        used[value > -0.25].append(place)
    status = study.status()
    assert status.pruned > 10
    # Hyperband leaves part of them alone, the bad ones too.
    assert sum(used[True]) / len(used[True]) > 1.2 * sum(used[False]) / len(used[False])
    assert status.best is not None
    assert status.best.value == max(
        value for _, end, value, _ in study.rows() if end == "finished" and value is not None
    )


def test_half_a_line_is_cut_off_by_the_next_that_appends(tmp_path: Path) -> None:
    path = tmp_path / "j"
    lines = FileLines(path)
    lines.append("a", ["one", "two"])
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    assert lines.read() == ["one", "two"]
    FileLines(path).append("b", ["three"])
    assert lines.read() == ["three"]
    assert FileLines(path).read() == ["one", "two", "three"]


def test_a_process_killed_while_it_holds_the_journal_stops_nobody(tmp_path: Path) -> None:
    path, context = tmp_path / "j", multiprocessing.get_context("fork")
    held = context.Event()

    def hold() -> None:
        import fcntl

        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held.set()
            signal.pause()

    process = context.Process(target=hold)
    process.start()
    until(held.is_set, 10)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    FileLines(path).append("a", ["one"])
    assert FileLines(path).read() == ["one"]


def test_what_no_pod_of_the_job_wrote_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "j"
    ours = make_study(path, key=KEY)
    first = ours.next()
    assert first is not None
    # Whoever may write there copies, changes or invents: a sampler's state would be unpickled.
    true = path.read_text().splitlines()
    seal, _, said = true[-1].partition(" ")
    forged = [said, f"{seal} {said.replace('settings', 'attr')}", f"{'0' * 64} {json.dumps({'op_code': 99})}", ""]
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in forged)
    other = make_study(path, key=KEY, worker=1)
    assert other.status() == ours.status()
    second = other.next()
    assert second is not None
    assert second.number == 1
    assert ours.status().ended == 0


def test_a_lost_logbook_is_waited_for(logbook: LogbookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(_at_logbook(logbook.url))
    trial = study.next()
    assert trial is not None
    logbook.stop()
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 2:
            logbook.start()
        return False

    monkeypatch.setattr(study._storage._backend._stop, "wait", wait)
    study.finish(trial, 1.0)
    assert waits == [1.0, 2.0]
    assert make_study(_at_logbook(logbook.url)).status().finished == 1


def test_a_page_that_is_asked_for_twice_costs_none_before_it() -> None:
    """Trials are numbered by the lines there are: a worker that had lost a thousand wrote into others' trials."""
    lines, asked = [f'{{"line": {number}}}' for number in range(5)], []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(first := int(request.url.params["from"]))
        if len(asked) == 2:
            return httpx.Response(503, text="restarting")
        page = {"lines": lines[first : first + 2], "next": min(first + 2, 5), "end": 5}
        return httpx.Response(200, json=page)

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://logbook")
    reader = LogbookLines(client, namespace="demo", uid="1111-2222")
    with pytest.raises(StoreUnavailable):
        reader.read()
    assert reader.read() == lines
    assert reader.read() == []


def test_lines_whose_answer_was_lost_are_not_there_twice(logbook: LogbookServer) -> None:
    class Deaf(httpx.HTTPTransport):
        """Loses the first answer."""

        lost = False

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if request.method == "POST" and not Deaf.lost:
                Deaf.lost = True
                raise httpx.ReadError("lost")
            return answer

    client = httpx.Client(base_url=logbook.url, transport=Deaf())
    study = make_study(LogbookLines(client, namespace="demo", uid="1111-2222"))
    assert Deaf.lost
    assert work(study, distance) == list(range(10))
