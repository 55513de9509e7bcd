"""Which Events are posted first, which become one, and which are lost when more is told than can be posted."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from belay_operator.engine.events import BURST, RATE_PER_S, Backlog, Events
from belay_operator.engine.plan import Note


def rollout(number: int) -> dict[str, Any]:
    meta = {"namespace": "ns", "name": f"r{number}", "uid": f"u{number}", "resourceVersion": "1"}
    return {"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "metadata": meta}


class Server:
    """Takes Events as quickly as they come."""

    def __init__(self) -> None:
        self.posted: list[Mapping[str, Any]] = []

    async def create(self, event: Mapping[str, Any], *, tries: int) -> None:
        self.posted.append(event)


@pytest.mark.asyncio
async def test_a_rollback_is_told_though_thousands_of_steps_begin() -> None:
    server = Server()
    events = Events(server, instance="i")  # type: ignore[arg-type]
    task = asyncio.create_task(events.run())
    for number in range(3_000):
        events.tell(rollout(number), Note("StepStarted", "step 1"))
    events.tell(rollout(0), Note("RollbackStarted", "b is withdrawn", warning=True))
    for number in range(3_000, 6_000):
        events.tell(rollout(number), Note("StepStarted", "step 1"))
    await asyncio.sleep(0.5)
    assert server.posted[0]["reason"] == "RollbackStarted"

    events.tell(rollout(1), Note("RollbackStarted", "b is withdrawn", warning=True))  # the rate holds by now
    posted = len(server.posted)
    assert posted >= BURST
    await asyncio.sleep(5 / RATE_PER_S)
    assert "RollbackStarted" in [event["reason"] for event in server.posted[posted : posted + 1]]
    task.cancel()


def event(kind: str, uid: str, reason: str, message: str, at: str = "t0") -> dict[str, Any]:
    times = {"firstTimestamp": at, "lastTimestamp": at, "count": 1}
    return {"type": kind, "involvedObject": {"uid": uid}, "reason": reason, "message": message, **times}


def drain(backlog: Backlog) -> list[str]:
    said = []
    with contextlib.suppress(IndexError):
        while True:
            said.append(backlog.get()["message"])
    return said


def test_warnings_go_first_in_their_order_and_normals_after_them_in_theirs() -> None:
    backlog = Backlog()
    for number in range(3):
        backlog.put(event("Normal", f"u{number}", "StepStarted", f"normal {number}"))
        backlog.put(event("Warning", f"u{number}", "RollbackStarted", f"warning {number}"))
    assert drain(backlog) == [f"{kind} {number}" for kind in ("warning", "normal") for number in range(3)]


def test_normals_of_one_object_and_reason_fold_into_the_latest_and_keep_their_place() -> None:
    backlog = Backlog()
    backlog.put(event("Normal", "u0", "StepStarted", "step 0", "t0"))
    backlog.put(event("Normal", "u0", "Promoted", "promoted"))
    backlog.put(event("Normal", "u1", "StepStarted", "another's"))
    backlog.put(event("Normal", "u0", "StepStarted", "step 1", "t1"))
    backlog.put(event("Normal", "u0", "StepStarted", "step 2", "t2"))
    first = backlog.get()
    assert (first["message"], first["count"]) == ("step 2", 3)
    assert (first["firstTimestamp"], first["lastTimestamp"]) == ("t0", "t2")
    assert drain(backlog) == ["promoted", "another's"]
    assert backlog.dropped == 0


def test_warnings_never_fold() -> None:
    backlog = Backlog()
    for number in range(2):
        backlog.put(event("Warning", "u", "CommandRefused", f"{number}"))
    assert drain(backlog) == ["0", "1"]


def test_where_too_many_wait_the_oldest_normal_is_lost_and_a_warning_only_to_warnings() -> None:
    backlog = Backlog(limit=3)
    backlog.put(event("Warning", "u", "A", "warning 0"))
    for number in range(5):
        backlog.put(event("Normal", f"u{number}", "StepStarted", f"normal {number}"))
    assert backlog.dropped == 3
    for number in range(1, 4):
        backlog.put(event("Warning", "u", "A", f"warning {number}"))
    backlog.put(event("Normal", "u", "StepStarted", "too late"))
    assert drain(backlog) == ["warning 1", "warning 2", "warning 3"]
    assert backlog.dropped == 7


@pytest.mark.asyncio
async def test_flush_returns_when_the_last_is_posted_or_its_time_is_over() -> None:
    server = Server()
    events = Events(server, instance="i")  # type: ignore[arg-type]
    await asyncio.wait_for(events.flush(timedelta(seconds=10)), 5)
    events.tell(rollout(0), Note("Promoted", "b"))
    await events.flush(timedelta(milliseconds=10))
    assert server.posted == []
    task = asyncio.create_task(events.run())
    await events.flush(timedelta(seconds=10))
    assert len(server.posted) == 1
    task.cancel()
