"""Each event once, whatever is looked at again; what is read after a crash; what is lost where too much waits."""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.notify.given import NOW, ago, alarm, ended, ready, rollout, version

from belay_operator.notify import ledger as ledgers
from belay_operator.notify.ledger import LAG, Ledger
from belay_operator.notify.receivers import Receiver

NAME = ("RLRollout", "default", "cartpole")
CHAT = Receiver(name="chat", url="http://chat/hook")


def fresh() -> Ledger:
    return Ledger([CHAT], NOW - timedelta(seconds=60))


def reasons(events: list[dict[str, Any]]) -> list[str]:
    return [f"{event['data']['reason']} {event['data']['state']}" for event in events]


def test_what_happened_before_anybody_was_notified_is_no_news() -> None:
    old, late = (
        ended("a", "Promoted", started=ago(200), at=ago(100)),
        ended("b", "RolledBack", started=ago(50), at=ago(1)),
    )
    body = rollout(history=[old, late])
    assert reasons(fresh().take_up(NAME, body, NOW)) == ["RolloutStarted Happened", "RolledBack Happened"]


def test_a_look_at_the_same_tells_nothing_again() -> None:
    ledger = fresh()
    body = rollout(candidate=version("b", ago(10)), conditions=[ready("ApprovalNeeded")])
    assert reasons(ledger.take_up(NAME, body, NOW)) == ["RolloutStarted Happened", "ApprovalNeeded Began"]
    assert ledger.take_up(NAME, body, NOW + timedelta(seconds=5)) == []
    ledger.dump(NOW)
    assert ledger.take_up(NAME, body, NOW + timedelta(days=1)) == []
    later = Ledger.load(ledger.dump(NOW + 2 * LAG), [CHAT], NOW + 2 * LAG)
    assert later.take_up(NAME, body, NOW + 2 * LAG) == [], "nor after a restart, when ids are no longer kept"


def test_a_ledger_that_was_never_written_is_as_if_nothing_was_taken_up() -> None:
    text = fresh().dump(NOW - timedelta(seconds=60))
    body = rollout(candidate=version("b", ago(10)), conditions=[alarm("Degraded", "StableWorse")])
    first = Ledger.load(text, [CHAT], NOW).take_up(NAME, body, NOW)
    again = Ledger.load(text, [CHAT], NOW).take_up(NAME, body, NOW)
    assert reasons(first) == ["RolloutStarted Happened", "StableWorse Began"]
    assert [event["id"] for event in first] == [event["id"] for event in again]


def test_a_situation_ends_once_and_may_come_again_as_another() -> None:
    ledger, seen = fresh(), []
    for second, reason in enumerate(("ApprovalNeeded", "Progressing", "Progressing", "ApprovalNeeded")):
        body = rollout(conditions=[ready(reason, f"about {reason}")])
        seen += ledger.take_up(NAME, body, NOW + timedelta(seconds=second))
    assert reasons(seen) == ["ApprovalNeeded Began", "ApprovalNeeded Ended", "ApprovalNeeded Began"]
    assert seen[1]["data"]["message"] == "now Progressing: about Progressing"
    assert len({event["id"] for event in seen}) == 3


def test_the_next_approval_is_told_though_the_one_before_was_never_seen_to_end() -> None:
    ledger = fresh()
    ledger.take_up(NAME, rollout(conditions=[ready("ApprovalNeeded", "at step 2")]), NOW)
    again = ledger.take_up(NAME, rollout(conditions=[ready("ApprovalNeeded", "at step 4")]), NOW + timedelta(seconds=1))
    assert [(event["data"]["state"], event["data"]["message"]) for event in again] == [("Began", "at step 4")]


@pytest.mark.parametrize("gone", [None, {"metadata": {"deletionTimestamp": ago(0)}}])
def test_what_stood_ends_with_its_object(gone: Any) -> None:
    ledger = fresh()
    ledger.take_up(NAME, rollout(conditions=[ready("Holding")]), NOW)
    text = ledger.dump(NOW)
    restarted = Ledger.load(text, [CHAT], NOW)
    assert restarted.objects == {NAME}, "so that its end is seen, though it went while nobody looked"
    (event,) = restarted.take_up(NAME, gone, NOW)
    assert (event["data"]["state"], event["data"]["uid"]) == ("Ended", "uid-1")
    assert restarted.objects == set()


def test_an_object_of_the_same_name_is_another() -> None:
    ledger = fresh()
    ledger.take_up(NAME, rollout(conditions=[ready("Holding")]), NOW)
    found = ledger.take_up(NAME, rollout(uid="uid-2", conditions=[ready("Holding")]), NOW)
    assert [(event["data"]["state"], event["data"]["uid"]) for event in found] == [
        ("Ended", "uid-1"),
        ("Began", "uid-2"),
    ]


def test_a_receiver_gets_what_it_asks_for() -> None:
    pager = Receiver(name="pager", url="http://p/h", severity="error")  # type: ignore[arg-type]
    shop = Receiver(name="shop", url="http://s/h", namespaces=["shop"])
    promotions = Receiver(name="promotions", url="http://s/h", reasons=["Promoted"])
    ledger = Ledger([CHAT, pager, shop, promotions], NOW - timedelta(seconds=60))
    body = rollout(
        history=[ended("b", "Promoted", started=ago(20), at=ago(10))], conditions=[alarm("Degraded", "StableWorse")]
    )
    for event in ledger.take_up(NAME, body, NOW):
        assert ledger.add(event) == []
    told = {name: reasons(list(queue.values())) for name, queue in ledger.waiting.items()}
    assert told == {
        "chat": ["RolloutStarted Happened", "Promoted Happened", "StableWorse Began"],
        "pager": ["StableWorse Began"],
        "shop": [],
        "promotions": ["Promoted Happened"],
    }


def test_who_is_new_gets_what_comes_and_who_is_gone_keeps_nothing_waiting() -> None:
    ledger = fresh()
    for event in ledger.take_up(NAME, rollout(conditions=[ready("Holding")]), NOW):
        ledger.add(event)
    other = Receiver(name="other", url="http://o/h")
    after = Ledger.load(ledger.dump(NOW), [other], NOW)
    assert {name: list(queue) for name, queue in after.waiting.items()} == {"other": []}
    kept = Ledger.load(ledger.dump(NOW), [CHAT, other], NOW)
    assert [len(kept.waiting[name]) for name in ("chat", "other")] == [1, 0]


def test_where_too_much_waits_the_oldest_of_what_matters_least_is_lost() -> None:
    ledger = fresh()
    (alarmed,) = ledger.take_up(NAME, rollout(conditions=[alarm("Degraded", "StableWorse")]), NOW)
    assert ledger.add(alarmed) == []
    dropped, ids = 0, []
    for number in range(2_000):
        body = rollout(f"r{number}", f"uid-{number}", conditions=[ready("Paused", "x" * 400)])
        (event,) = ledger.take_up(("RLRollout", "default", f"r{number}"), body, NOW)
        ids.append(event["id"])
        dropped += len(ledger.add(event))
    assert dropped
    assert list(ledger.waiting["chat"]) == [alarmed["id"], *ids[dropped:]]
    assert len(ledger.dump(NOW).encode()) < 1_000_000, "a ConfigMap holds no more"


def test_more_situations_than_anybody_reads_fit_into_a_config_map() -> None:
    ledger, told = fresh(), 0
    for number in range(ledgers.STANDING + 500):
        name = ("RLRollout", "a-namespace-of-some-length", f"a-rollout-of-some-length-{number}")
        body = rollout(
            name[2], f"3f2504e0-4f89-11d3-9a0c-{number:012}", conditions=[ready("ApprovalNeeded", "y" * 400)]
        )
        told += len(ledger.take_up(name, body, NOW))
    assert told == ledgers.STANDING
    assert len(ledger.dump(NOW).encode()) + ledgers.WAITING_BYTES < 1_000_000


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "since": "now"}', '{"format":1,"since":1}']
)
def test_what_is_no_ledger_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 of many causes
        Ledger.load(text, [CHAT], NOW)
