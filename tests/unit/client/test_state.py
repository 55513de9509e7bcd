"""What a policy remembers travels with its episode, and an episode that is taken over goes on and says so."""

from .conftest import Scripted, Served
from .test_client import OBSERVATION


def _states(served: Served) -> list[str | None]:
    return [item.get("state") for item in served.items]


def test_each_episode_carries_its_own_memory(make, served: Served) -> None:
    served.remembers = True
    with make(served.url) as client, client.episode() as one, client.episode() as two:
        one.act(OBSERVATION)
        one.act(OBSERVATION)
        two.act(OBSERVATION)
        client.act_many([two, one], [OBSERVATION, OBSERVATION])
        client.predict([OBSERVATION])
        assert (one.state_lost, one.moved) == (False, False)
    assert _states(served) == [None, "v1.1", None, "v1.1", "v1.2", None]


def test_an_episode_taken_over_goes_on_without_its_memory_and_says_so(make, served: Served) -> None:
    served.remembers = True
    with make(served.url) as client, client.episode() as episode:
        episode.act(OBSERVATION)
        served.version = "v2"
        answer = episode.act(OBSERVATION)
        assert (answer.policy, answer.fallback, answer.state_lost) == ("v2", False, True)
        later = episode.act(OBSERVATION)
        assert (later.fallback, later.state_lost) == (False, False)
        assert (episode.state_lost, episode.moved) == (True, True), "it is no episode of either version"
        assert episode.memory.fallbacks == 0
    assert _states(served) == [None, "v1.1", None, "v2.1"]
    assert [item["step"] for item in served.items] == [0, 1, 1, 2]


def test_a_version_that_remembers_nothing_may_take_over_and_one_that_does(make, served: Served) -> None:
    served.remembers = True
    with make(served.url) as client, client.episode() as episode:
        episode.act(OBSERVATION)
        served.version, served.remembers = "v2", False
        assert episode.act(OBSERVATION).state_lost
        served.version, served.remembers = "v3", True
        answer = episode.act(OBSERVATION)
        assert (answer.policy, answer.state_lost) == ("v3", False), "there was none to lose"
        episode.act(OBSERVATION)
    assert _states(served) == [None, "v1.1", None, None, "v3.1"]


def test_the_same_name_with_another_artifact_is_no_longer_the_episodes_version(make, served: Served) -> None:
    """An RLPolicy that was deleted and made again: its name in the answer tells nothing."""
    served.remembers = True
    with make(served.url) as client, client.episode() as episode:
        episode.act(OBSERVATION)
        episode.memory.state = "before.7"
        assert episode.act(OBSERVATION).state_lost
        assert episode.moved


def test_only_those_are_asked_again_whose_memory_is_foreign(make, served: Served) -> None:
    served.remembers = True
    with make(served.url) as client, client.episode() as one, client.episode() as two, client.episode() as three:
        for episode in (one, two, three):
            episode.act(OBSERVATION)
        two.memory.state = "v0.5"
        served.items.clear()
        answers = client.act_many([one, two, three], [[1.0], [2.0], [3.0]])
    assert [answer.state_lost for answer in answers] == [False, True, False]
    assert [(item["observation"], item.get("state")) for item in served.items] == [
        ([1.0], "v1.1"),
        ([2.0], "v0.5"),
        ([3.0], "v1.1"),
        ([2.0], None),
    ]
    assert [episode.moved for episode in (one, two, three)] == [False, True, False]


def test_a_fallback_leaves_the_memory_as_it_was(make, served: Served) -> None:
    served.remembers = True
    with make(served.url) as client, client.episode() as episode:
        episode.act(OBSERVATION)
        served.status = 500
        assert episode.act(OBSERVATION).fallback
        served.status = 200
        assert not episode.act(OBSERVATION).fallback
    assert _states(served) == [None, "v1.1"]


def test_one_that_refuses_even_without_a_memory_is_not_asked_for_ever(make) -> None:
    error = b'{"error": {"status": 409, "message": "no"}}'
    answer = b'{"action": 1, "policy": "v1", "state": "v1.1"}'

    def reply(status: bytes, content: bytes) -> bytes:
        return b"HTTP/1.1 " + status + b"\r\ncontent-length: " + str(len(content)).encode() + b"\r\n\r\n" + content

    with Scripted(reply(b"200 OK", answer), reply(b"409 Conflict", error)) as server:
        with make(server.url) as client, client.episode() as episode:
            episode.act(OBSERVATION)
            answer = episode.act(OBSERVATION)
            assert (answer.fallback, answer.error) == (True, "no")
        assert len(server.requests) == 3
