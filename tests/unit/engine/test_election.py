"""Who leads, against a Lease in memory: the real API server is in `tests/api/engine/test_election.py`."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from belay_operator.engine.election import Election, Terms
from belay_operator.engine.errors import Conflict, NotFound, Unreachable

QUICK = Terms(timedelta(seconds=3), timedelta(seconds=2), timedelta(seconds=1))  # the package's smallest
PATIENT = Terms(timedelta(minutes=2), timedelta(minutes=1), timedelta(seconds=1))  # not lost by a busy machine


class LeaseServer:
    """One Lease, with the API server's optimistic lock."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None

    @property
    def holder(self) -> str:
        return str((self.lease or {}).get("spec", {}).get("holderIdentity", ""))

    def answer(self, verb: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        what = f"{verb} {path}"
        if verb == "GET":
            if self.lease is None:
                raise NotFound(what, code=404, reason="NotFound", message="")
            return copy.deepcopy(self.lease)
        assert body is not None
        version = (self.lease or {}).get("metadata", {}).get("resourceVersion")
        if body["metadata"].get("resourceVersion") != version:
            raise Conflict(what, code=409, reason="Conflict", message="")
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(int(version or 0) + 1)
        return copy.deepcopy(self.lease)


class Wire:
    """A client's way to the server; `trouble` may delay a call or let it fail."""

    def __init__(self, server: LeaseServer) -> None:
        self.server = server
        self.trouble: Callable[[str, float], Awaitable[None]] | None = None

    async def call(self, verb: str, resource: Any, path: str, *, body: Any = None, **how: Any) -> dict[str, Any]:
        if self.trouble is not None:
            await self.trouble(verb, how["within"].total_seconds())
        return self.server.answer(verb, path, body)


def election(wire: Wire, name: str, terms: Terms = PATIENT) -> Election:
    return Election(wire, namespace="belay-system", identity=name, terms=terms)  # type: ignore[arg-type]


async def until(true: Callable[[], bool], *, within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 -- what is waited for is any fact, not one event
            await asyncio.sleep(0.005)


@pytest.mark.asyncio
async def test_a_leader_ends_before_anybody_else_may_lead_also_when_its_calls_hang() -> None:
    server, told = LeaseServer(), []
    first, second = Wire(server), Wire(server)

    async def work(name: str) -> None:
        told.append(f"{name} leads")
        await asyncio.Event().wait()

    def leads(wire: Wire, name: str) -> asyncio.Task[None]:
        one = election(wire, name, QUICK)
        return asyncio.create_task(one.lead(lambda: work(name), lost=lambda: told.append(f"{name} is lost")))

    leading = leads(first, "a")
    await until(lambda: told == ["a leads"])
    waiting = leads(second, "b")

    async def slow_reads_and_no_writes(verb: str, within_s: float) -> None:
        await asyncio.sleep(0.9 * within_s if verb == "GET" else within_s)
        if verb != "GET":
            raise Unreachable(verb, code=None, reason="TimeoutError", message="")

    first.trouble = slow_reads_and_no_writes
    await until(lambda: "b leads" in told)
    assert told == ["a leads", "a is lost", "b leads"]
    for task in (leading, waiting):
        task.cancel()
    await asyncio.gather(leading, waiting, return_exceptions=True)


@pytest.mark.asyncio
async def test_a_leader_that_finds_another_holder_is_lost_at_once() -> None:
    """Somebody whose clock is wrong, or a person with kubectl: to try for ten seconds more would be two writers."""
    server, told = LeaseServer(), []

    async def work() -> None:
        told.append("leads")
        await asyncio.Event().wait()

    async def note(verb: str, within_s: float) -> None:
        if server.holder == "b":
            told.append(verb)

    wire = Wire(server)
    wire.trouble = note
    leading = asyncio.create_task(election(wire, "a").lead(work, lost=lambda: told.append("lost")))
    await until(lambda: told == ["leads"])
    assert server.lease is not None
    server.lease["spec"]["holderIdentity"] = "b"
    server.lease["metadata"]["resourceVersion"] = "100"
    await until(lambda: "lost" in told)
    assert told == ["leads", "GET", "lost"]
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert server.holder == "b", "what is not ours is not given back"


@pytest.mark.asyncio
async def test_who_is_told_to_end_while_it_leads_stops_working_and_gives_the_lease_back() -> None:
    server, told = LeaseServer(), []

    async def work() -> None:
        told.append("leads")
        try:
            await asyncio.Event().wait()
        finally:
            told.append(f"stops, held by {server.holder}")

    leading = asyncio.create_task(election(Wire(server), "a").lead(work, lost=lambda: told.append("lost")))
    await until(lambda: told == ["leads"])
    leading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leading
    assert told == ["leads", "stops, held by a"]
    assert server.holder == ""


@pytest.mark.asyncio
async def test_an_error_of_the_work_comes_out_and_the_lease_is_given_back() -> None:
    server = LeaseServer()

    async def work() -> None:
        raise RuntimeError("no way on")

    with pytest.raises(RuntimeError, match="no way on"):
        await election(Wire(server), "a").lead(work, lost=lambda: None)
    assert server.holder == ""
