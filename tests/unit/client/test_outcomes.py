"""No outcome is lost and none counts twice, whatever stands between client and logbook. Both clients, one suite."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from belay_client import ApiKey, Client, PodToken, base

from .conftest import NAMESPACE, RunningLogbook, Scripted, Served
from .test_trouble import OBSERVATION, answer, close_within

FORGETFUL = """
import sys
from belay_client import ApiKey, Client

logbook = {"logbook_url": sys.argv[2], "logbook_namespace": "team-a", "credentials": ApiKey("any")}
client = Client(sys.argv[1], fallback_action=0, timeout_s=5.0, **logbook)
with client.episode() as episode:
    episode.act([0.0] * 4)
    episode.report(return_=1.0)
"""

FORKING = """
import os, sys
from belay_client import ApiKey, Client

logbook = {"logbook_url": sys.argv[2], "logbook_namespace": "team-a", "credentials": ApiKey("any")}
client = Client(sys.argv[1], fallback_action=0, timeout_s=10.0, **logbook)

def play(return_):
    with client.episode() as episode:
        episode.act([0.0] * 4)
        episode.report(return_=return_)
    return client.flush(30)

assert play(1.0)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    assert play(3.0)
else:
    os._exit(0 if play(2.0) and client.outbox.taken == 1 else 1)
"""

NOT_THE_LOGBOOK = [
    answer(b"<html>please log in</html>"),
    answer([]),
    answer({"status": "fine"}),
    answer({"accepted": "all"}),
    answer({"accepted": 0, "refused": ["no"]}),
    answer(b"", "302 Found", "location: https://login"),
    answer(b"<html>forbidden</html>", "403 Forbidden"),
    answer(b"RBAC: access denied", "401 Unauthorized"),
    answer({"error": {"status": 503, "message": "later"}}, "503 Service Unavailable", "retry-after: 0"),
    answer(b"slow down", "429 Too Many Requests"),
    answer({"accepted": 1})[:-3],
    b"SSH-2.0-OpenSSH_9.2\r\n",
]


def told(request: bytes) -> list[dict[str, Any]]:
    return json.loads(request.partition(b"\r\n\r\n")[2])["items"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("belay_client.reports.FIRST_RETRY_S", 0.01)
    monkeypatch.setattr("belay_client.reports.LAST_RETRY_S", 0.02)


@pytest.fixture
def reporting(make, served: Served) -> Callable[..., Any]:
    def made(url: str, **options: Any) -> Any:
        logbook = {"logbook_url": url, "logbook_namespace": NAMESPACE, "credentials": ApiKey("any")}
        return make(served.url, **(logbook | options))

    return made


def report(client: Any, *returns: float) -> None:
    for return_ in returns:
        with client.episode() as episode:
            episode.act(OBSERVATION)
            episode.report(return_=return_)


def trouble_of(client: Any) -> str | None:
    """Return what keeps the outcomes from being taken, once it was met."""
    until = time.monotonic() + 20
    while client.outbox.trouble is None and time.monotonic() < until:
        assert not client.flush(0.05), "it was taken"
    return client.outbox.trouble


@pytest.mark.parametrize("reply", NOT_THE_LOGBOOK, ids=lambda reply: str(reply[:40]))
def test_only_the_logbook_ends_an_outcome(reporting, quick, reply: bytes) -> None:
    broken = close_within(reply)
    with Scripted(broken, broken, broken, answer({"accepted": 1})) as logbook, reporting(logbook.url) as client:
        report(client, 7.0)
        assert client.flush(10)
        assert (client.outbox.taken, client.outbox.dropped, list(client.outbox.refused)) == (1, 0, [])
        assert client.outbox.trouble is None
    assert len({json.dumps(told(request)) for request in logbook.requests}) == 1, "each time the same receipt"


def test_while_it_is_not_taken_the_client_knows_why(reporting, quick) -> None:
    mended = threading.Event()

    def say(connection: socket.socket) -> None:
        connection.sendall(answer({"accepted": 1}) if mended.is_set() else answer(b"<html>log in"))

    with Scripted(say) as logbook, reporting(logbook.url) as client:
        report(client, 7.0)
        assert trouble_of(client) == "HTTP 200: <html>log in"
        mended.set()
        assert client.flush(10)
        assert client.outbox.trouble is None


def test_an_outcome_whose_answer_was_lost_counts_once(reporting, served, logbook: RunningLogbook) -> None:
    """The logbook has recorded the batch, but its answer never arrives; so the same batch comes again."""
    lost: list[bytes] = []

    def forward(connection: socket.socket) -> bool:
        reply = httpx.post(
            f"{logbook.url}/v1/namespaces/{NAMESPACE}/outcomes", json={"items": told(between.requests[-1])}
        )
        assert reply.json() == {"accepted": 1, "refused": []}
        if len(lost) < 2:
            lost.append(reply.content)
        else:
            connection.sendall(answer(reply.content))
        return True

    with Scripted(forward) as between, reporting(between.url) as client:
        report(client, 7.0)
        assert client.flush(20)
        assert client.outbox.taken == 1
    assert len(lost) == 2, "it was recorded before"
    time.sleep(0.01)
    windows = logbook.statistics("v1")["windows"]
    assert [(window["count"] + window["missing"]) for window in windows] == [1]


def test_a_batch_too_large_for_a_gateway_is_split(reporting, quick) -> None:
    """A gateway's own bound (nginx: 1 MB) knows nothing of ours."""

    def at_most_two(connection: socket.socket) -> None:
        items = told(logbook.requests[-1])
        whole = len(items) <= 2 and all(item["outcomes"]["return"] < 100 for item in items)
        connection.sendall(
            answer({"accepted": len(items)}) if whole else answer(b"<html>too large", "413 Content Too Large")
        )

    reported = threading.Event()

    def wait(connection: socket.socket) -> bool:  # until all are reported, so that they would travel together
        return reported.wait(60)

    with Scripted(wait, at_most_two) as logbook, reporting(logbook.url) as client:
        report(client, 0, 1, 2, 3, 100, 5, 6, 7)
        reported.set()
        assert client.flush(20)
        assert client.outbox.taken == 7
        assert list(client.outbox.refused) == ["HTTP 413"], "one that can never pass does not hold up the others"
    assert max(len(told(request)) for request in logbook.requests) > 2, "nothing had to be split"


def test_refused_outcomes_are_told_one_by_one(reporting) -> None:
    def first_is_bad(connection: socket.socket) -> None:
        items = told(logbook.requests[-1])
        bad = [index for index, item in enumerate(items) if item["outcomes"]["return"] < 0]
        refused = [{"index": index, "error": {"status": 400, "message": "no such thing"}} for index in bad]
        connection.sendall(answer({"accepted": len(items) - len(bad), "refused": refused}))

    with Scripted(first_is_bad) as logbook, reporting(logbook.url) as client:
        report(client, -1.0, 2.0, 3.0)
        assert client.flush(10)
        assert (client.outbox.taken, list(client.outbox.refused)) == (2, ["no such thing"])


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"two\nlines", "größer".encode()])
def test_outcomes_wait_for_a_token_that_can_be_sent(reporting, quick, tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with (
        Scripted(answer({"accepted": 1})) as logbook,
        reporting(logbook.url, credentials=PodToken(token)) as client,
    ):
        report(client, 7.0)
        assert trouble_of(client)
        token.write_text("mended\n")
        assert client.flush(10)
    assert [b"authorization: Bearer mended\r\n" in request for request in logbook.requests] == [True]


def test_credentials_that_fail_are_asked_again(reporting, quick) -> None:
    failures = [LookupError("sealed"), httpx.ConnectError("away")]

    class Vault:
        def token(self) -> str:
            if failures:
                raise failures.pop()
            return "opened"

    with Scripted(answer({"accepted": 1})) as logbook, reporting(logbook.url, credentials=Vault()) as client:
        report(client, 7.0)
        assert client.flush(10)
    assert b"authorization: Bearer opened\r\n" in logbook.requests[0]


def test_closing_waits_no_longer_than_it_says(reporting, monkeypatch) -> None:
    monkeypatch.setattr("belay_client.sync.FLUSH_S", 0.2)
    monkeypatch.setattr("belay_client.aio.FLUSH_S", 0.2)

    def say_nothing(_: socket.socket) -> None:
        logbook.over.wait(30)

    with Scripted(say_nothing) as logbook:
        client = reporting(logbook.url)
        report(client, 7.0)
        with client.episode() as episode:
            episode.act(OBSERVATION)
            began = time.monotonic()
            client.close()
            assert time.monotonic() - began < base.LOGBOOK_TIMEOUT_S / 2
            with pytest.raises(RuntimeError, match="report before closing"):
                episode.report(return_=8.0)


def test_what_is_told_while_the_client_closes_is_sent_or_refused(served: Served) -> None:
    """Another thread's outcome comes in between the last one's being taken and the end."""
    said: list[str] = []
    options = {"logbook_namespace": NAMESPACE, "credentials": ApiKey("any"), "timeout_s": 10.0}

    def tell() -> None:
        try:
            episode.report(return_=8.0)
        except RuntimeError as error:
            said.append(str(error))

    with Scripted(answer({"accepted": 1})) as logbook:
        client = Client(served.url, fallback_action=0, logbook_url=logbook.url, **options)
        with client.episode() as episode:
            episode.act(OBSERVATION)
        report(client, 7.0)
        flush, thread = client.flush, threading.Thread(target=tell)

        def flush_and_be_told_more(timeout_s: float) -> bool:
            taken = flush(timeout_s)
            thread.start()
            thread.join(0.5)
            return taken

        client.flush = flush_and_be_told_more
        client.close()
        thread.join()
    assert said, "it was neither"
    assert "report before closing" in said[0]


def script(text: str, *arguments: str) -> int:
    """Run a Python script that finds the client where this test does, and return its exit status."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", text, *arguments], env=environment, timeout=120, check=False
    ).returncode


def test_a_script_that_just_ends_has_told_its_outcomes(served: Served) -> None:
    away = answer(b"later", "503 Service Unavailable", "retry-after: 0")
    with Scripted(away, away, answer({"accepted": 1})) as logbook:
        assert script(FORGETFUL, served.url, logbook.url) == 0
    assert len(logbook.requests) == 3, "without waiting at its end the process is gone before the second try"
    assert [item["outcomes"]["return"] for item in told(logbook.requests[-1])] == [1.0]


def test_a_forked_process_has_connections_and_outcomes_of_its_own() -> None:
    policy = answer({"action": 1, "policy": "v1", "fallback": False, "receipt": "v1.a.b"})
    with Scripted(policy) as pod, Scripted(answer({"accepted": 1})) as logbook:
        assert script(FORKING, pod.url, logbook.url) == 0
    assert [item["outcomes"]["return"] for request in logbook.requests for item in told(request)] == [1.0, 2.0, 3.0]
    assert (pod.connections, len(pod.requests)) == (2, 3), "on a shared one they would read each other's answers"
