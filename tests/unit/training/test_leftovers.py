"""What deleted trainings left, at a real logbook: it goes after a while, and nothing else ever does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import aiohttp
import httpx
import pytest
from tests.unit.logbook.support import Process, new_namespace
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.training.given import NAME, UID, child_job, training_job
from tests.world import World

from belay_operator.engine.errors import error_of
from belay_operator.training.leftovers import Leftovers

GONE = "uid-of-a-job-that-was-deleted"
GRACE = timedelta(hours=1)


class Context(WorldPollerContext):
    """A cache that knows the world, a clock to turn, and an API server that may know more, or refuse."""

    clock = datetime(2026, 5, 4, 10, tzinfo=UTC)
    unlisted: frozenset[str] = frozenset()
    refuses = False
    asked = 0

    def now(self) -> datetime:
        return self.clock

    async def live_uids(self, kind: str, namespace: str) -> frozenset[str]:
        self.asked += 1
        if self.refuses:
            raise error_of("GET rltrainingjobs", 403, "Forbidden", "no")
        return await super().live_uids(kind, namespace) | self.unlisted


@asynccontextmanager
async def looked_after(tmp_path: Path, *objects: dict[str, object]) -> AsyncIterator[tuple[Context, httpx.Client]]:
    """A logbook with a checkpoint of `UID` and one of `GONE`, and the poller over these objects."""
    process, namespace = Process(tmp_path).start(), new_namespace()
    for one in objects:
        one["metadata"]["namespace"] = namespace  # type: ignore[index]
    try:
        with process.client(namespace) as client:
            for uid in (UID, GONE):
                save(client, uid)
            async with aiohttp.ClientSession() as http:
                context = Context(World(objects), http, logbook_url=process.url)
                source = Leftovers(period=timedelta(seconds=0.02), grace=GRACE)
                task = asyncio.create_task(source.run(context))
                yield context, client
                assert not task.done()
                task.cancel()
    finally:
        process.stop()


def save(client: httpx.Client, uid: str) -> None:
    data = uid.encode()
    name, sizes = sha256(data).hexdigest(), {"Upload-Offset": "0", "Upload-Length": str(len(data))}
    client.patch(f"/blobs/{name}", content=data, headers=sizes).raise_for_status()
    ref = {"step": 1, "sha256": name, "size": len(data)}
    client.put(f"/checkpoints/{uid}/0/1", json=ref).raise_for_status()


async def kept(client: httpx.Client) -> set[str]:
    """Which jobs still have a checkpoint, once the poller has looked some more times."""
    await asyncio.sleep(0.3)
    answers = {uid: await asyncio.to_thread(client.get, f"/checkpoints/{uid}/0") for uid in (UID, GONE)}
    return {uid for uid, answer in answers.items() if answer.json()["items"]}


@pytest.mark.asyncio
async def test_what_a_deleted_job_left_goes_after_a_while_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    async with looked_after(tmp_path, training_job()) as (context, client):
        assert await kept(client) == {UID, GONE}
        context.clock += GRACE - timedelta(seconds=1)
        assert await kept(client) == {UID, GONE}
        context.clock += timedelta(seconds=1)
        assert await kept(client) == {UID}
        asked = context.asked
        await kept(client)
        assert context.asked == asked, "what is gone is not asked about again"


@pytest.mark.asyncio
async def test_a_job_that_the_cache_does_not_know_keeps_its_checkpoints(tmp_path: Path) -> None:
    """An operator that watches other namespaces, or whose watch is late, knows nothing of a living job."""
    async with looked_after(tmp_path) as (context, client):
        context.unlisted = frozenset({UID, GONE})
        await kept(client)
        context.clock += GRACE
        assert await kept(client) == {UID, GONE}
        context.refuses = True
        assert await kept(client) == {UID, GONE}


@pytest.mark.asyncio
async def test_a_job_that_is_missing_for_a_moment_begins_its_time_anew(tmp_path: Path) -> None:
    job = training_job()
    async with looked_after(tmp_path) as (context, client):
        await kept(client)
        context.clock += GRACE / 2
        context.put({**job, "metadata": {**job["metadata"], "namespace": _namespace(client)}})
        await kept(client)
        context.remove("RLTrainingJob", NAME, namespace=_namespace(client))
        context.clock += GRACE / 2
        assert UID in await kept(client)


@pytest.mark.asyncio
async def test_pods_that_outlive_their_job_keep_its_checkpoints(tmp_path: Path) -> None:
    """`kubectl delete --cascade=orphan` leaves a Job whose seeds go on."""
    orphan = child_job()
    orphan["metadata"]["ownerReferences"] = []
    async with looked_after(tmp_path, orphan) as (context, client):
        await kept(client)
        context.clock += GRACE
        assert await kept(client) == {UID}
        context.remove("Job", orphan["metadata"]["name"], namespace=_namespace(client))
        await kept(client)
        context.clock += GRACE
        assert await kept(client) == set()


def _namespace(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/").rpartition("/")[2]
