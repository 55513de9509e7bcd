"""Who may write: one process at a time, by a Lease, with the `kubernetes` package's own election.

15 s / 10 s / 2 s: a leader that cannot renew for 10 s ends its process, 5 s before anybody else may take the Lease. A
leader that ends in order gives the Lease back, so that its successor starts at once. The package brings the algorithm;
the lock below reads and writes the Lease as a plain dict, because the typed one costs memory that the rest never needs.
How long the Lease may be believed to be ours is kept here (`_Hold`): the package asks the wall clock, and only between
its calls.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock

from belay_operator.engine.client import Client
from belay_operator.engine.errors import ApiError
from belay_operator.engine.resources import resource_of

LEASE_NAME = "belay-operator"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a leader is believed."""

    lease: timedelta = timedelta(seconds=15)  # others may take over this long after the last renewal
    renew: timedelta = timedelta(seconds=10)  # the leader gives up after failing to renew for this long
    retry: timedelta = timedelta(seconds=2)


class Election:
    """Run something while this process leads."""

    def __init__(self, client: Client, *, namespace: str, identity: str, terms: Terms) -> None:
        self._client, self._namespace, self._identity, self._terms = client, namespace, identity, terms

    async def lead(self, work: Callable[[], Awaitable[None]], *, lost: Callable[[], None]) -> None:
        """Wait for the Lease, then run `work` to its end and give the Lease back.

        Args:
            lost: Called when the Lease could not be renewed; it must end the process at once, because `work` may be in
                the middle of a write and somebody else will soon be leading.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tasks: list[asyncio.Task[Any]] = []
        hold = _Hold(self._terms.renew, lost)
        lock = _Lock(self._client, self._namespace, self._identity, self._terms, hold)

        async def started() -> None:
            if (task := asyncio.current_task()) is not None:  # the package's own; it lets go of it when cancelled
                tasks.append(task)
            log.info("leading as %s", lock.identity)
            try:
                await work()
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(None)

        async def stopped() -> None:
            hold.end()

        config = Config(
            lock,
            lease_duration=self._terms.lease.total_seconds(),
            renew_deadline=self._terms.renew.total_seconds(),
            retry_period=self._terms.retry.total_seconds(),
            onstarted_leading=started,
            onstopped_leading=stopped,
        )
        election = asyncio.create_task(LeaderElection(config).run(), name="election")
        tasks.append(election)
        try:
            await asyncio.wait([done, election], return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                await election  # it ended by an error of its own
            await done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if hold.let_go():
                await lock.release()


class _Hold:
    """Whether the Lease is ours, as far as we can know: for `limit` after the last renewal that succeeded was sent.

    Counted from the sending, by the loop's own clock: others count from when they see the renewal, which is later. A
    clock that is set, calls that hang and a process that was stopped for a while change nothing of that.
    """

    def __init__(self, limit: timedelta, lost: Callable[[], None]) -> None:
        self._limit_s, self._lost = limit.total_seconds(), lost
        self._timer: asyncio.TimerHandle | None = None  # None: not ours

    def renewed(self, sent: float) -> None:
        """Believe again; `sent` is the loop time at which the renewal was sent."""
        self.let_go()
        self._timer = asyncio.get_running_loop().call_at(sent + self._limit_s, self.end)

    def end(self) -> None:
        """Say that it is lost, once."""
        if self.let_go():
            self._lost()

    def let_go(self) -> bool:
        """Believe no longer; return whether it was ours until now."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return timer is not None


class _Lock(BaseLock):
    """The Lease as the package's election wants it."""

    def __init__(self, client: Client, namespace: str, identity: str, terms: Terms, hold: _Hold) -> None:
        super().__init__(LEASE_NAME, namespace, identity)
        self._client, self._terms, self._hold = client, terms, hold
        self._resource = resource_of("Lease")
        self._lease: dict[str, Any] = {}

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        """Return (True, record), or (False, the error in the package's own form)."""
        try:
            self._lease = await self._call("GET", self._resource.path(namespace, name))
        except ApiError as error:
            told = ApiException(status=error.code or 0, reason=error.reason)
            told.body = orjson.dumps({"code": error.code}).decode()
            return False, told
        spec = self._lease.get("spec") or {}
        if spec.get("holderIdentity") not in (None, "", self.identity):
            self._hold.end()  # were it ours, somebody else has taken it all the same: a clock or a person was wrong
        return True, LeaderElectionRecord(
            spec.get("holderIdentity") or None,
            str(spec["leaseDurationSeconds"]) if spec.get("leaseDurationSeconds") else None,
            spec.get("acquireTime"),
            spec.get("renewTime"),
        )

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """Create the Lease; return whether it is ours."""
        body = {
            "apiVersion": self._resource.api_version,
            "kind": "Lease",
            "metadata": {"name": name, "namespace": namespace},
            "spec": self._spec(election_record),
        }
        return await self._try("POST", self._resource.path(namespace), body)

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        """Replace the Lease that `get` read; return whether nobody was faster."""
        body = {**self._lease, "spec": {**(self._lease.get("spec") or {}), **self._spec(updated_record)}}
        return await self._try("PUT", self._resource.path(namespace, name), body)

    async def release(self) -> None:
        """Empty the holder, when it is us: the next one need not wait for the Lease to run out."""
        path = self._resource.path(self.namespace, self.name)
        try:
            lease = await self._call("GET", path)
            if lease["spec"].get("holderIdentity") == self.identity:
                await self._call("PUT", path, {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
        except ApiError as error:
            log.info("the Lease was not given back and will run out by itself: %s", error)

    def _spec(self, record: LeaderElectionRecord) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = self._lease.get("spec") or {}
        mine = before.get("holderIdentity") == record.holder_identity
        return {
            "holderIdentity": record.holder_identity,
            "leaseDurationSeconds": round(self._terms.lease.total_seconds()),
            "acquireTime": before.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0) + (0 if mine else 1),
        }

    async def _try(self, verb: str, path: str, body: dict[str, Any]) -> bool:
        sent = asyncio.get_running_loop().time()
        try:
            self._lease = await self._call(verb, path, body)
        except ApiError as error:
            log.info("lease: %s", error)
            return False
        self._hold.renewed(sent)
        return True

    async def _call(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        # One try, short: the election has its own rhythm, and a call that hangs must not outlast the deadline.
        return await self._client.call(
            verb, self._resource, path, body=body, tries=1, urgent=True, within=self._terms.retry
        )
