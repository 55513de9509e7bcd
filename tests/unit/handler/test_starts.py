"""Starts reach the logbook in batches, wait while it is away, and are counted when they are lost."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.handler.web import Request, Response, serving

from belay_handler import reporter as reporter_module
from belay_handler.starts import StartReporter


def wait_until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "did not become true in time"
        time.sleep(0.005)


def told(requests: list[Request]) -> list[str]:
    return [item["receipt"] for request in requests for item in json.loads(request.body)["items"]]


def test_starts_are_told_in_order_and_in_batches(tmp_path: Path) -> None:
    requests: list[Request] = []
    (tmp_path / "token").write_text("secret")

    def answer(request: Request) -> Response:
        requests.append(request)
        return Response(200, b'{"accepted": 1, "refused": []}')

    with serving(answer) as url:
        reporter = StartReporter(url, "team-a", tmp_path / "token", period_s=0.02)
        for index in range(500):
            reporter.add(f"r{index}")
        reporter.start()
        wait_until(lambda: reporter.reported == 500)
        reporter.close()

    assert told(requests) == [f"r{index}" for index in range(500)]
    assert len(requests) == 1
    assert requests[0].path == "/v1/namespaces/team-a/starts"
    assert requests[0].headers["authorization"] == "Bearer secret"


def test_a_logbook_that_is_away_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter_module, "LONGEST_BACKOFF_S", 0.05)
    requests: list[Request] = []
    failures = [503, 401, 500, 429]

    def answer(request: Request) -> Response:
        if failures:
            return Response(failures.pop())
        requests.append(request)
        return Response(200, b'{"accepted": 1, "refused": []}')

    with serving(answer) as url:
        reporter = StartReporter(url, "team-a", tmp_path / "none", period_s=0.02)
        reporter.start()
        for index in range(50):
            reporter.add(f"r{index}")
        wait_until(lambda: reporter.reported == 50)
        reporter.close()

    assert sorted(told(requests)) == sorted(f"r{index}" for index in range(50))
    assert reporter.dropped == 0


@pytest.mark.parametrize("foreign", [Response(200, b"<html>"), Response(200, b"[]"), Response(302), Response(204)])
def test_an_answer_that_is_not_a_logbooks_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: Response
) -> None:
    monkeypatch.setattr(reporter_module, "LONGEST_BACKOFF_S", 0.05)
    answers = [foreign, Response(200, b'{"accepted": 1, "refused": []}')]

    with serving(lambda _: answers.pop(0)) as url:
        reporter = StartReporter(url, "team-a", tmp_path / "none", period_s=0.02)
        reporter.add("r0")
        reporter.start()
        wait_until(lambda: not answers)
        wait_until(lambda: reporter.reported == 1)
        reporter.close()

    assert reporter.dropped == 0


def test_what_the_logbook_refuses_for_good_is_counted_and_not_sent_again(tmp_path: Path) -> None:
    requests: list[Request] = []

    def answer(request: Request) -> Response:
        requests.append(request)
        refusal = {"index": 1, "error": {"status": 403, "message": "forged"}}
        return Response(200, json.dumps({"accepted": 2, "refused": [refusal]}).encode())

    with serving(answer) as url:
        reporter = StartReporter(url, "team-a", tmp_path / "none", period_s=0.02)
        for receipt in "abc":
            reporter.add(receipt)
        reporter.start()
        wait_until(lambda: reporter.reported == 2)
        reporter.close()

    assert (reporter.dropped, len(requests)) == (1, 1)


def test_a_full_buffer_drops_the_newest_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StartReporter, "most", 3)
    reporter = StartReporter("http://127.0.0.1:9", "team-a", tmp_path / "none")
    for index in range(5):
        reporter.add(f"r{index}")

    assert list(reporter._waiting) == ["r0", "r1", "r2"]
    assert reporter.dropped == 2
