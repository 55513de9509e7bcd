"""Search pods killed half way at a real logbook: none of their trials is lost, and none is done twice."""

import os
import signal
from pathlib import Path

import pytest
from search_support import make_study
from test_search_worker import config
from trainer_configs import NAMESPACE, UID
from trainer_support import LogbookServer, Pod, Pods, free_port, until

from belay_api import names
from belay_trainer.logbook import connect
from belay_trainer.search.journal import LogbookLines
from belay_trainer.search.study import Study

KEY = bytes(range(32))
WORKERS = 2
MANY = config(seeds={"count": WORKERS}, search={**config().said()["spec"]["search"], "trials": 8})


@pytest.fixture
def logbook(tmp_path: Path) -> LogbookServer:
    (tmp_path / "logbook").mkdir()
    return LogbookServer(tmp_path / "logbook", free_port())


def lines(logbook: LogbookServer) -> LogbookLines:
    return LogbookLines(connect(logbook.url, Path("no-token")), namespace=NAMESPACE, uid=UID)


def study(logbook: LogbookServer) -> Study:
    return make_study(lines(logbook), spec=MANY.spec, key=KEY)


def test_killed_pods_cost_no_trial(tmp_path: Path, logbook: LogbookServer) -> None:
    logbook.start()
    pods, journal, seen = Pods(tmp_path), lines(logbook), 0

    def start(index: int) -> Pod:
        return pods.start(MANY, index=str(index), logbook=logbook.url, key=KEY)

    def evaluated(more: int) -> bool:
        nonlocal seen
        seen += sum('"op_code":7' in line for line in journal.read())
        return seen >= more

    alive = {index: start(index) for index in range(WORKERS)}
    try:
        for kills in range(1, 5):
            until(
                lambda kills=kills: evaluated(12 * kills) or all(p.process.poll() is not None for p in alive.values())
            )
            index = kills % WORKERS
            os.kill(alive[index].process.pid, signal.SIGKILL)
            alive[index].wait()
            alive[index] = start(index)
        assert [pod.wait() for pod in alive.values()] == [names.EXIT_DONE] * WORKERS
        rows = study(logbook).rows()
    finally:
        for pod in pods.started:
            pod.process.kill()
        logbook.stop()
    logs = [pod.log for pod in pods.started]
    assert sum("is taken up from its beginning" in log for log in logs) >= 2, "kills hit no trial: this shows nothing"
    assert [number for number, *_ in rows] == list(range(8))
    assert {end for _, end, *_ in rows} <= {"finished", "failed"}
    begun = [
        line.split(" trial ")[1].split(":")[0]
        for log in logs
        for line in log.splitlines()
        if ": trial " in line and "{" in line
    ]
    assert {int(number) for number in begun} == set(range(8))
    told = [pod.report.search for pod in alive.values()]
    assert max(one.ended for one in told if one is not None) == 8
