"""The client's promises: always an action, an episode stays together, no outcome is lost. Both clients, one suite."""

import contextlib
import hashlib
import socket
import threading
import time

import numpy as np
import pytest

from belay_client.credentials import ApiKey

from .conftest import NAMESPACE, RunningLogbook, Served

OBSERVATION = [0.1, 0.2, 0.3, 0.4]


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


def test_without_a_gateway_each_episode_has_a_connection_of_its_own(make, served: Served) -> None:
    """There a connection is what is assigned to a version, and nobody reads whom an episode is pinned to."""
    with make(served.url, rollout="cartpole") as client:
        for _ in range(2):
            with client.episode() as one, client.episode() as two:
                for _ in range(3):
                    client.act_many([one, two], [OBSERVATION, OBSERVATION])
                assert not one.act(OBSERVATION).fallback
    assert len(served.connections) == 4
    assert all(len(ports) == 1 for ports in served.connections.values()), "an episode stays where it began"
    assert len(set.union(*served.connections.values())) == 4, "and each is assigned anew"
    assert set(served.rollouts) == {"cartpole"}, "the caller says whose evidence it is"


def test_with_a_gateway_connections_are_kept_and_the_route_says_whose_evidence_it_is(make, served: Served) -> None:
    with make(served.url) as client:
        for _ in range(3):
            with client.episode() as episode:
                episode.act(OBSERVATION)
    assert len(set.union(*served.connections.values())) == 1
    assert set(served.rollouts) == {None}


def test_a_user_is_told_by_her_number_until_her_episode_is_pinned(make, served: Served) -> None:
    """Afterwards the decisions of several users may travel in one request."""
    with (
        make(served.url) as client,
        client.episode(user="alice") as hers,
        client.episode(user="bob") as his,
        client.episode() as nobodys,
    ):
        for _ in range(2):
            client.act_many([hers, his, nobodys], [OBSERVATION] * 3)
    alice, bob = (str(int(hashlib.sha256(key).hexdigest()[:14], 16)) for key in (b"alice", b"bob"))
    nobody = ("", "", "")
    assert sorted(served.users[:3]) == sorted([(alice, alice[-2], alice[-1]), (bob, bob[-2], bob[-1]), nobody])
    assert served.users[3:] == [nobody], "pinned to the same version, they travel together"


def test_an_empty_key_is_no_user(make, served: Served) -> None:
    with make(served.url) as client, pytest.raises(ValueError, match="empty"), client.episode(user=""):
        pass


@pytest.mark.parametrize("trouble", [{"delay_s": 5.0}, {"status": 503}, {"status": 500}])
def test_there_is_always_an_action(make, served: Served, trouble: dict) -> None:
    for name, value in trouble.items():
        setattr(served, name, value)
    with make(served.url, timeout_s=2.5, fallback_action=7) as client, client.episode() as episode:
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


def test_several_parts_and_masks_travel_as_the_task_has_them(make, served: Served) -> None:
    parts = {"position": np.array([0.5, 1.0], np.float32), "gear": np.int64(2)}
    sent, mask = {"position": [0.5, 1.0], "gear": 2}, np.array([True, False, True])
    with make(served.url) as client, client.episode() as one, client.episode() as two:
        one.act(parts, mask=mask)
        two.act((np.array([0.5]), 1), mask=[0, 1])
        one.act(OBSERVATION)
        client.predict([OBSERVATION, parts], masks=[mask, [1, 1, 0]])
        client.act_many([one, two], [parts, parts], masks=[[1, 0, 0], [0, 0, 1]])
        for wrong in (
            client.predict,
            lambda observations, masks: client.act_many([one, two], observations, masks=masks),
        ):
            with pytest.raises(ValueError, match="1 masks for 2 observations"):
                wrong([parts, parts], masks=[[1, 1, 1]])
    assert [item["observation"] for item in served.items] == [
        sent,
        [[0.5], 1],
        OBSERVATION,
        OBSERVATION,
        sent,
        sent,
        sent,
    ]
    masks = [item.get("mask") for item in served.items]
    assert masks == [[True, False, True], [0, 1], None, [True, False, True], [1, 1, 0], [1, 0, 0], [0, 0, 1]]


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


def test_a_success_that_the_logbook_would_refuse_is_refused_before_it_is_sent(make, served: Served) -> None:
    """The return told with it would be lost as well."""
    with make(served.url) as client, client.episode() as episode:
        episode.act(OBSERVATION)
        with pytest.raises(ValueError, match=r"success is 0\.5, wanted True or False"):
            episode.report(return_=1.0, success=0.5)


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
    assert took_s < 20, "50 s to its end"


def test_episodes_that_begin_together_are_not_drawn_together(make, served: Served) -> None:
    with make(served.url) as client, client.episode() as one, client.episode() as other:
        client.act_many([one, other], [OBSERVATION, OBSERVATION])
        assert served.pins == [None, None]
        client.act_many([one, other], [OBSERVATION, OBSERVATION])
        assert served.pins == [None, None, "v1"]
