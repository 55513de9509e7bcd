"""The example of the client's page, word for word: a real environment, the handler's server, the real logbook."""

import re
import socket
import time
from datetime import UTC, datetime
from typing import Any

import gymnasium
import httpx
import numpy as np
import pytest
from tests.unit.handler.artifacts import CARTPOLE, manifest, outputs

import belay_client.base
from belay_api.receipts import namespace_key
from belay_handler.acting import Actor
from belay_handler.requests import Reader
from belay_handler.server import Ask, Server

from .conftest import MASTER, NAMESPACE, ROOT, RunningLogbook, Scripted

[EXAMPLE] = re.findall(r"```python\n(.*?)```", (ROOT / "client" / "README.md").read_text(), re.DOTALL)
PUBLIC = "http://gateway/predictions/cartpole"


def test_the_example_plays_an_episode_and_reports_it(logbook: RunningLogbook, monkeypatch, tmp_path) -> None:
    starts: list[str] = []
    serving = Server(
        policy="cartpole-1",
        namespace=NAMESPACE,
        actor=Actor(manifest(), outputs, np.random.default_rng(0)),
        reader=Reader(CARTPOLE, stochastic=True),
        receipt_key=namespace_key(MASTER, NAMESPACE),
        on_start=starts.append,
    )

    def serve(connection: socket.socket) -> None:
        [answer] = serving.answer([Ask(pod.requests[-1].partition(b"\r\n\r\n")[2])], datetime.now(UTC))
        head = f"HTTP/1.1 {answer.status} Any\r\ncontent-length: {len(answer.body)}\r\n\r\n"
        connection.sendall(head.encode() + answer.body)

    token = tmp_path / "token"
    token.write_text("any")
    monkeypatch.setattr("belay_client.credentials.PodToken.__init__.__defaults__", (token,))
    # A busy machine may take longer than the default for one of the answers, and then the fallback would be right.
    monkeypatch.setitem(belay_client.base.BaseClient.__init__.__kwdefaults__, "timeout_s", 20.0)
    monkeypatch.setenv("BELAY_LOGBOOK_URL", logbook.url)
    monkeypatch.setenv("BELAY_NAMESPACE", NAMESPACE)
    assert PUBLIC in EXAMPLE
    names: dict[str, Any] = {"environment": gymnasium.make("CartPole-v1")}
    with Scripted(serve) as pod:
        exec(EXAMPLE.replace(PUBLIC, pod.url), names)

    episode = names["episode"]
    assert (episode.policy, episode.moved, episode.memory.fallbacks) == ("cartpole-1", False, 0)
    assert names["steps"] == len(pod.requests) > 1
    assert [start == episode.memory.receipt for start in starts] == [True]
    assert names["client"].outbox.taken == 1
    time.sleep(0.01)
    query = {"versions": "cartpole-1", "outcome": "return", "window": "300", "grace": "60", "wait": "0"}
    seen = httpx.get(f"{logbook.url}/v1/namespaces/{NAMESPACE}/statistics", params=query).json()
    assert seen["versions"][0]["longest"] < 60, "its one episode, as told"


def test_every_name_the_page_shows_exists() -> None:
    text = (ROOT / "client" / "README.md").read_text()
    for name in re.findall(r"`client\.([a-z_]+)", text):
        client = belay_client.Client("http://gateway/predictions/cartpole", fallback_action=0)
        assert hasattr(client, name), name
        client.close()
    for name in re.findall(r"`episode\.([a-z_]+)", text):
        assert hasattr(belay_client.Episode, name), name


@pytest.mark.parametrize(
    "url",
    [
        *("gateway/predictions/a", "ftp://gateway/a", "http:///a", "http://[::1"),
        *("http://gateway..team/a", f"http://{'a' * 64}/a"),  # no name server could be asked for them
    ],
)
@pytest.mark.parametrize("kind", ["url", "logbook_url"])
def test_what_is_no_address_is_told_at_once(make, url: str, kind: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        make(**({"url": PUBLIC, "logbook_namespace": NAMESPACE} | {kind: url}))


def test_a_proxy_that_cannot_be_used_is_told_at_once(make, monkeypatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ValueError, match="names a socks5 proxy for gateway.nowhere"):
        make("http://gateway.nowhere/predictions/policy")
    monkeypatch.setenv("no_proxy", "gateway.nowhere")
    make("http://gateway.nowhere/predictions/policy").close()
