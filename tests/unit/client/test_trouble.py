"""What a caller gets, and how soon, when the other side misbehaves; by real sockets. Both clients, one suite."""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpcore
import numpy as np
import pytest

from belay_client import AsyncClient
from belay_client.lines import Deadline, Line

from .conftest import Scripted

OBSERVATION = [0.1, 0.2]
GOOD = {"action": 1, "policy": "v1", "fallback": False, "receipt": "v1.a.b"}


def answer(value: Any, status: str = "200 OK", *headers: str) -> bytes:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def close_within(sent: bytes) -> Callable[[socket.socket], bool]:
    def step(connection: socket.socket) -> bool:
        connection.sendall(sent)
        return True

    return step


def test_half_an_answer_is_asked_again_and_then_given_up(make) -> None:
    half = close_within(answer(GOOD)[:-5])
    with Scripted(half, answer(GOOD)) as server, make(server.url) as client:
        assert not client.predict([OBSERVATION])[0].fallback
    with Scripted(half) as server, make(server.url) as client:
        [given] = client.predict([OBSERVATION])
        assert (given.action, given.fallback, len(server.requests)) == (0, True, 2)
        assert "closed connection" in given.error


@pytest.mark.parametrize("silent", ["at once", "after its head"])
def test_a_server_that_never_answers_costs_the_timeout_and_no_more(make, silent: str) -> None:
    def say_nothing(connection: socket.socket) -> None:
        connection.sendall(b"" if silent == "at once" else answer(GOOD)[:30])
        server.over.wait(30)

    with Scripted(say_nothing) as server, make(server.url, timeout_s=0.1) as client:
        began = time.monotonic()
        [given] = client.predict([OBSERVATION])
        took_s = time.monotonic() - began
    assert given.fallback
    assert 0.09 < took_s < 15, "30 s by the server's will"


def test_a_head_that_trickles_does_not_outlast_the_timeout(make) -> None:
    """Each byte comes in time; the head as a whole does not."""

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-long: ")
        while not server.over.wait(0.05):
            connection.sendall(b"x")

    with Scripted(trickle) as server, make(server.url, timeout_s=0.3) as client:
        given, took_s = timed(client, OBSERVATION)
    assert given.fallback
    assert took_s < 10, "it never ends"


def test_a_server_that_sips_a_large_request_does_not_outlast_the_timeout() -> None:
    """What the kernel can take of the request is always taken in time; all of it is not."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def sip() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                while connection.recv(400_000):
                    time.sleep(0.05)

        thread = threading.Thread(target=sip)
        thread.start()
        line = Line(f"http://127.0.0.1:{listener.getsockname()[1]}/predictions/policy")
        began = time.monotonic()
        with pytest.raises((httpcore.TimeoutException, TimeoutError)):
            line.send(bytes(64_000_000), {}, Deadline(0.5))
        took_s = time.monotonic() - began
        line.close()
        thread.join()
    assert took_s < 5, "some 10 s to its end"


def timed(client: Any, observation: Any) -> tuple[Any, float]:
    began = time.monotonic()
    [given] = client.predict([observation])
    return given, time.monotonic() - began


def test_a_late_answer_is_never_taken_for_the_next_one(make) -> None:
    given_up, sent = threading.Event(), threading.Event()

    def late(connection: socket.socket) -> None:
        given_up.wait(30)
        with contextlib.suppress(OSError):
            connection.sendall(answer(GOOD | {"action": 99}))
        sent.set()

    with Scripted(late, answer(GOOD)) as server, make(server.url, timeout_s=1.5) as client:
        assert client.predict([OBSERVATION])[0].fallback
        given_up.set()
        sent.wait(30)
        assert client.predict([OBSERVATION])[0].action == 1


def test_connections_closed_while_idle_cost_nobody_an_answer(make) -> None:
    with Scripted(answer(GOOD)) as server, make(server.url) as client:
        assert not client.predict([OBSERVATION])[0].fallback
        assert not client.predict([OBSERVATION])[0].fallback
        assert server.connections == 1, "kept between requests"
        server.hang_up()
        assert not client.predict([OBSERVATION])[0].fallback
        assert (server.connections, len(server.requests)) == (2, 3)


@pytest.mark.parametrize(
    ("refusal", "requests"),
    [
        (answer(b"no cluster", "503 Service Unavailable"), 2),
        (answer(b"later", "503 Service Unavailable", "retry-after: 1"), 1),
        (answer(b"slow down", "429 Too Many Requests", "retry-after: 1"), 1),
        (answer(b"", "302 Found", "location: https://elsewhere/predictions"), 1),
        (answer(GOOD, "500 Internal Server Error"), 1),
    ],
)
def test_what_is_refused_is_asked_again_only_where_now_may_be_better(make, refusal: bytes, requests: int) -> None:
    with Scripted(refusal) as server, make(server.url) as client:
        [given] = client.predict([OBSERVATION])
        assert (given.fallback, given.action, len(server.requests)) == (True, 0, requests)
        assert f"HTTP {refusal[9:12].decode()}" in given.error
        assert ("https://elsewhere/predictions" in given.error) is (b"302" in refusal)


@pytest.mark.parametrize(
    "said",
    [
        GOOD | {"policy": "v1\r\nx-evil: 1"},
        GOOD | {"policy": "größer"},
        GOOD | {"policy": None},
        GOOD | {"action": None},
        GOOD | {"action": [0.5, None]},
        GOOD | {"action": float("nan")},
        b'{"action": 1e999, "policy": "v1"}',
        b"[" * 100_000,
        b"\xff\xfe",
        [],
        [GOOD, GOOD],
        "fine",
    ],
    ids=str,
)
def test_what_is_no_answer_is_a_fallback_and_pins_nothing(make, said: Any) -> None:
    with Scripted(answer(said), answer(GOOD)) as server, make(server.url) as client, client.episode() as episode:
        given = episode.act(OBSERVATION)
        assert (given.action, given.fallback, given.policy) == (0, True, None)
        assert not episode.act(OBSERVATION).fallback
        assert b"x-belay-policy" not in server.requests[1]


@pytest.mark.parametrize("observation", [{1, 2}, object(), b"bytes", [[]] and (lambda: 0)])
def test_an_observation_that_cannot_be_sent_is_a_fallback_too(make, observation: Any) -> None:
    with Scripted(answer(GOOD)) as server, make(server.url) as client, client.episode() as episode:
        given = episode.act(observation)
        assert (given.fallback, server.requests) == (True, [])
        assert "send numbers or nested lists of numbers" in given.error


def test_numbers_arrive_as_they_are_whatever_holds_them(make) -> None:
    with Scripted(answer(GOOD)) as server, make(server.url) as client, client.episode("größe 1") as episode:
        episode.act(np.array([[1.5, np.inf]], dtype=np.float32))
        episode.act([np.float64(0.25), np.int64(3)])
        sent = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]
    assert [item["observation"] for item in sent] == [[[1.5, float("inf")]], [0.25, 3]]
    assert {item["episode"] for item in sent} == {"größe 1"}


def test_ten_thousand_observations_are_one_request(make) -> None:
    with Scripted(answer([GOOD] * 10_000)) as server, make(server.url, timeout_s=20.0) as client:
        assert sum(not given.fallback for given in client.predict([OBSERVATION] * 10_000)) == 10_000
        assert len(server.requests) == 1


def test_an_answer_may_come_in_chunks_or_end_with_its_connection(make) -> None:
    content = json.dumps(GOOD).encode()
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    ended = close_within(b"HTTP/1.1 200 OK\r\n\r\n" + content)
    with Scripted(chunked, ended, answer(GOOD)) as server, make(server.url) as client:
        assert [client.predict([OBSERVATION])[0].fallback for _ in range(3)] == [False] * 3
        assert server.connections == 2


def test_timeouts_use_up_no_connections(make, monkeypatch) -> None:
    monkeypatch.setattr("belay_client.lines.CONNECTIONS", 2)
    silent = [lambda _: server.over.wait(30)] * 3
    with Scripted(*silent, answer(GOOD)) as server, make(server.url, timeout_s=1.0) as client:
        assert all(client.predict([OBSERVATION])[0].fallback for _ in silent)
        assert not client.predict([OBSERVATION])[0].fallback


def test_whoever_leaves_early_takes_no_connection_along(monkeypatch) -> None:
    """At whatever moment a decision is cancelled, the next one is answered."""
    monkeypatch.setattr("belay_client.lines.CONNECTIONS", 1)

    async def play(url: str) -> list[bool]:
        async with AsyncClient(url, fallback_action=0, timeout_s=5.0) as client:
            answered = []
            for turns in range(25):
                leaving = [asyncio.create_task(client.predict([OBSERVATION])) for _ in range(2)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for each in leaving:
                    each.cancel()
                await asyncio.gather(*leaving, return_exceptions=True)
                answered.append(not (await client.predict([OBSERVATION]))[0].fallback)
                if not answered[-1]:
                    break
            return answered

    with Scripted(answer(GOOD)) as server:
        assert all(asyncio.run(play(server.url)))


def test_a_decision_under_way_when_the_client_closes_is_a_fallback() -> None:
    async def play(server: Scripted) -> Any:
        async with AsyncClient(server.url, fallback_action=0, timeout_s=30.0) as client:
            asking = asyncio.create_task(client.predict([OBSERVATION]))
            await asyncio.to_thread(arrived.wait, 30)
        return await asking

    arrived = threading.Event()

    def say_nothing(_: socket.socket) -> None:
        arrived.set()
        server.over.wait(30)

    with Scripted(say_nothing) as server:
        [given] = asyncio.run(play(server))
    assert given.fallback
    assert "the client was closed" in given.error


def test_a_slow_lookup_of_the_name_outlasts_no_timeout(make, monkeypatch) -> None:
    def slowly(*_: Any, **__: Any) -> Any:
        time.sleep(4)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    with make("http://gateway.nowhere/predictions/policy", timeout_s=0.1) as client:
        began = time.monotonic()
        assert client.predict([OBSERVATION])[0].fallback
        assert time.monotonic() - began < 3


def test_act_many_wants_one_observation_of_each_episode(make) -> None:
    with Scripted(answer(GOOD)) as server, make(server.url) as client, client.episode() as one:
        with pytest.raises(ValueError, match="2 observations of 1 episodes"):
            client.act_many([one], [OBSERVATION, OBSERVATION])
        assert server.requests == []


def test_an_episode_that_samples_samples_among_many_too(make) -> None:
    with Scripted(answer(GOOD)) as server, make(server.url) as client:
        with client.episode(deterministic=False) as one:
            client.act_many([one], [OBSERVATION])
        assert b'"deterministic":false' in server.requests[0]


@pytest.mark.parametrize("unless", ["", "gateway.nowhere"])
def test_a_proxy_is_used_where_the_environment_names_one(make, monkeypatch, unless: str) -> None:
    with Scripted(answer(GOOD)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.partition("/predictions")[0].replace("//", "//user:word@"))
        monkeypatch.setenv("no_proxy", unless)
        with make("http://gateway.nowhere/predictions/policy") as client:
            assert client.predict([OBSERVATION])[0].fallback is bool(unless)
    for request in proxy.requests:
        assert request.startswith(b"POST http://gateway.nowhere/predictions/policy HTTP/1.1\r\n")
        assert b"proxy-authorization: basic dxnlcjp3b3jk" in request.lower()


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for 127.0.0.1, which this process trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"]
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", "req", "-x509", *new, "-days", "2", *subject], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_https_is_spoken_and_kept_open(make, secure: ssl.SSLContext) -> None:
    with Scripted(answer(GOOD), secure=secure) as server, make(server.url, timeout_s=5.0) as client:
        assert [client.predict([OBSERVATION])[0].fallback for _ in range(3)] == [False] * 3
        assert server.connections == 1
        server.hang_up()
        assert not client.predict([OBSERVATION])[0].fallback


def test_a_certificate_nobody_vouches_for_is_not_trusted(make, secure: ssl.SSLContext, monkeypatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with Scripted(answer(GOOD), secure=secure) as server, make(server.url, timeout_s=5.0) as client:
        [given] = client.predict([OBSERVATION])
        assert given.fallback
        assert "CERTIFICATE_VERIFY_FAILED" in given.error
        assert server.requests == []
