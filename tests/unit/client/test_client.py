"""The client's promises: always an action, an episode stays together, no outcome is lost. Both clients, one suite."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from belay_client import AsyncClient, Client
from belay_client.credentials import ApiKey

from .conftest import NAMESPACE, RunningLogbook, Served

OBSERVATION = [0.1, 0.2, 0.3, 0.4]


class Blocking:
    """An AsyncClient driven from blocking code, so that one suite speaks for both."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._do(self._make(*args, **kwargs))

    async def _make(self, *args: Any, **kwargs: Any) -> AsyncClient:
        return AsyncClient(*args, **kwargs)

    def _do(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._client.close())
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def predict(self, *args: Any) -> Any:
        return self._do(self._client.predict(*args))

    def act_many(self, *args: Any) -> Any:
        return self._do(self._client.act_many(*args))

    def flush(self, timeout_s: float = 10.0) -> bool:
        return self._do(self._client.flush(timeout_s))

    def episode(self, *args: Any, **kwargs: Any) -> Any:
        return _Context(self, self._client.episode(*args, **kwargs))


class _Context:
    def __init__(self, owner: Blocking, context: Any) -> None:
        self._owner, self._context = owner, context

    def __enter__(self) -> Any:
        self._episode = self._owner._do(self._context.__aenter__())
        return _Episode(self._owner, self._episode)

    def __exit__(self, *error: Any) -> None:
        self._owner._do(self._context.__aexit__(*error))


class _Episode:
    def __init__(self, owner: Blocking, episode: Any) -> None:
        self._owner, self._episode = owner, episode

    def act(self, observation: Any) -> Any:
        return self._owner._do(self._episode.act(observation))

    def report(self, **outcomes: Any) -> None:
        async def inside_the_loop() -> None:
            self._episode.report(**outcomes)

        self._owner._do(inside_the_loop())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._episode, name)


@pytest.fixture(params=[Client, Blocking], ids=["sync", "asyncio"])
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return lambda url, **options: request.param(url, **({"fallback_action": 0, "timeout_s": 2.0} | options))


def test_an_episode_is_pinned_to_the_version_that_answered_first(make, served: Served) -> None:
    with make(served.url) as client, client.episode() as episode:
        answers = [episode.act(np.array(OBSERVATION)) for _ in range(3)]
    assert [answer.policy for answer in answers] == ["v1"] * 3
    assert served.pins == [None, "v1", "v1"]
    assert [item["step"] for item in served.items] == [0, 1, 2]
    assert len({item["episode"] for item in served.items}) == 1


def test_an_episode_taken_over_follows_and_is_moved(make, served: Served) -> None:
    with make(served.url) as client, client.episode() as episode:
        episode.act(OBSERVATION)
        served.version = "v2"
        assert episode.act(OBSERVATION).policy == "v2"
        episode.act(OBSERVATION)
        assert episode.moved
    assert served.pins == [None, "v1", "v2"]


@pytest.mark.parametrize("trouble", [{"delay_s": 3.0}, {"status": 503}, {"status": 500}])
def test_there_is_always_an_action(make, served: Served, trouble: dict) -> None:
    for name, value in trouble.items():
        setattr(served, name, value)
    with make(served.url, timeout_s=1.5, fallback_action=7) as client, client.episode() as episode:
        answer = episode.act(OBSERVATION)
        assert (answer.action, answer.fallback, answer.policy) == (7, True, None)
        assert answer.error
        served.delay_s, served.status = 0.0, 200
        assert not episode.act(OBSERVATION).fallback
        assert served.items[-1]["step"] == 0, "an episode begins with the first answer that arrived"


@pytest.mark.parametrize(("refusals", "fallback"), [(1, False), (2, True)])
def test_one_503_is_asked_again(make, served: Served, refusals: int, fallback: bool) -> None:
    served.refusals = refusals
    with make(served.url) as client, client.episode() as episode:
        assert episode.act(OBSERVATION).fallback is fallback


def test_nobody_listening_is_a_fallback_too(make) -> None:
    with make("http://127.0.0.1:1/predictions/policy", fallback_action=[0.0]) as client, client.episode() as episode:
        assert episode.act(OBSERVATION).action == [0.0]


def test_a_bad_observation_is_answered_alone(make, served: Served) -> None:
    with make(served.url) as client:
        good, bad, other = client.predict([OBSERVATION, [float("nan")] * 4, OBSERVATION])
    assert (good.fallback, bad.fallback, other.fallback) == (False, True, False)
    assert "NaN" in bad.error


def test_many_episodes_share_a_request_per_version(make, served: Served) -> None:
    with make(served.url) as client, client.episode() as one, client.episode() as two:
        one.act(OBSERVATION)
        requests = len(served.pins)
        answers = client.act_many([one, two], [OBSERVATION, OBSERVATION])
        assert len(served.pins) == requests + 2, "one is pinned, two is not yet"
        client.act_many([one, two], [OBSERVATION, OBSERVATION])
        assert len(served.pins) == requests + 3, "both are pinned to the same version"
    assert [answer.policy for answer in answers] == ["v1", "v1"]


def test_outcomes_arrive_and_survive_a_logbook_that_is_away(make, served: Served, logbook: RunningLogbook) -> None:
    options = {"logbook_url": logbook.url, "logbook_namespace": NAMESPACE, "credentials": ApiKey("any")}
    with make(served.url, **options) as client:
        logbook.stop()
        for number in range(3):
            with client.episode() as episode:
                episode.act(OBSERVATION)
                episode.report(return_=10.0 * number, length=1)
        assert not client.flush(0.3)
        logbook.start()
        assert client.flush(20)
        assert client.outbox.taken == 3
    version = logbook.statistics("v1")
    assert sum(w["count"] + w["missing"] for w in version["windows"]) == 3


def test_a_forged_receipt_is_refused_and_told(make, served: Served, logbook: RunningLogbook) -> None:
    options = {"logbook_url": logbook.url, "logbook_namespace": NAMESPACE, "credentials": ApiKey("any")}
    with make(served.url, **options) as client, client.episode() as episode:
        episode.act(OBSERVATION)
        episode.memory._first_receipt = episode.memory.receipt[:-4] + "AAAA"
        episode.report(return_=1e9)
        assert client.flush(10)
        assert client.outbox.taken == 0
        assert "not issued" in client.outbox.refused[0]
    assert logbook.statistics("v1")["windows"] == []


def test_nan_is_refused_before_it_is_sent(make, served: Served) -> None:
    with make(served.url) as client, client.episode() as episode:
        episode.act(OBSERVATION)
        with pytest.raises(ValueError, match="leave out what was not measured"):
            episode.report(return_=float("nan"))


def test_a_server_that_trickles_does_not_outlast_the_timeout(make) -> None:
    """Each byte comes in time; the answer as a whole does not."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    done = threading.Event()

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            with contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                while not done.wait(0.05):
                    connection.sendall(b" ")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        with make(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.3) as client:
            began = time.monotonic()
            [answer] = client.predict([OBSERVATION])
            took_s = time.monotonic() - began
    finally:
        done.set()
        thread.join()
        listener.close()
    assert answer.fallback
    assert took_s < 5  # to its end it would take 50 s


def test_episodes_that_begin_together_are_not_drawn_together(make, served: Served) -> None:
    with make(served.url) as client, client.episode() as one, client.episode() as other:
        client.act_many([_bare(one), _bare(other)], [OBSERVATION, OBSERVATION])
        assert served.pins == [None, None]
        client.act_many([_bare(one), _bare(other)], [OBSERVATION, OBSERVATION])
        assert served.pins == [None, None, "v1"]


def _bare(episode: Any) -> Any:
    return getattr(episode, "_episode", episode)
