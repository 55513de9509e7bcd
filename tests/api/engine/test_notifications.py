"""Notifications of a real operator process, whose ledger a real API server keeps."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.engine.test_reconcile import training_job


class Listener(ThreadingHTTPServer):
    """Keeps every event; answers once `answering` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.events: list[dict[str, Any]] = []
        self.answering = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        self.server.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.answering.wait()
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as made:
        serving = threading.Thread(target=made.serve_forever, daemon=True)
        serving.start()
        yield made
        made.answering.set()
        made.shutdown()


def test_an_operator_killed_before_it_could_tell_leaves_it_to_the_next(
    kube: Kube, start: Starter, listener: Listener
) -> None:
    """The receiver hangs for as long as the first one lives; meanwhile everything else is taken up and written down."""
    receivers = json.dumps([{"name": "hook", "url": f"http://127.0.0.1:{listener.server_port}/"}])
    env = {"BELAY_NOTIFICATIONS": receivers, "BELAY_SYSTEM_NAMESPACE": kube.namespace}
    first = start(**env).ready()
    kube.apply(training_job("a", **{"test/command": "malformed"}))
    eventually(lambda: listener.events, what="the receiver is asked")
    kube.run("annotate", "rltrainingjob", "a", "test/command-")

    def waiting() -> list[str]:
        kept = kube.get("configmap", "belay-notifications")
        assert kept is not None
        return [event["data"]["state"] for event in json.loads(kept["data"]["ledger.json"])["waiting"]["hook"]]

    eventually(lambda: waiting() == ["Began", "Ended"], what="both are written down, though nothing was answered")
    first.kill()
    listener.answering.set()
    start(**env).ready()
    eventually(lambda: waiting() == [], what="both were told")
    told = [(event["data"]["reason"], event["data"]["state"]) for event in listener.events]
    assert told == [("InvalidSpec", "Began"), ("InvalidSpec", "Began"), ("InvalidSpec", "Ended")]
    assert listener.events[0] == listener.events[1]
