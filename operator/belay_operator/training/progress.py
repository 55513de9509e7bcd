"""Heartbeats of all training jobs in one incremental long-poll, put into the cache as the fact `progress`.

Progress is news, not truth: a lost logbook costs status its running numbers and nothing else, so there is no error to
report here, only patience. Between two pages the source rests, and that rest is what keeps status from being written
at every heartbeat of every pod.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import aiohttp
from pydantic import ValidationError

from belay_api.wire import API_PREFIX, ProgressPage, RunProgressRecord
from belay_operator.engine import logbook
from belay_operator.engine.plan import Key
from belay_operator.engine.source import Changes, PollerContext

KIND_NAME = "RLTrainingJob"
TOPIC = "progress"
REST_S = 5.0  # between two pages with news: a status is written at most this often for progress alone
WAIT_S = 30  # how long the logbook may hold a request without news
BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # after the first, second, ... failure in a row; the last one repeats
_SLACK_S = 15.0  # over WAIT_S before the connection counts as dead

log = logging.getLogger(__name__)

Name = tuple[str, str]  # namespace, job


class ProgressSource:
    """The poller of `progress`."""

    name = TOPIC

    def __init__(self, *, rest_s: float = REST_S, backoff_s: Sequence[float] = BACKOFF_S) -> None:
        self._rest_s, self._backoff_s = rest_s, backoff_s
        self._held: dict[Name, dict[int, RunProgressRecord]] = {}
        self._running: set[Name] = set()

    async def run(self, context: PollerContext) -> None:
        """Poll until cancelled."""
        if context.settings.logbook_url is None:
            await asyncio.Event().wait()  # nothing to ask; the engine would start a source that returned again
        cursor, failures = "", 0
        self._held.clear()  # without a cursor the logbook tells everything
        self._running.clear()
        with context.changes(KIND_NAME) as changes:
            while True:
                self._follow(context, changes)
                if not self._running:
                    await changes.wait()
                    continue
                try:
                    page = await _ask(context, cursor)
                except (aiohttp.ClientError, TimeoutError, ValidationError) as error:
                    delay = self._backoff_s[min(failures, len(self._backoff_s) - 1)]
                    log.info("the logbook does not tell progress (%s); asking again in %g s", error, delay)
                    # A cursor the logbook does not know (its volume was replaced) must not blind us for ever.
                    cursor, failures = "", failures + 1
                    await asyncio.sleep(delay)
                    continue
                cursor, failures = page.cursor, 0
                self._put(context, page.items)
                await asyncio.sleep(self._rest_s if page.items else 0)

    def _put(self, context: PollerContext, items: Iterable[RunProgressRecord]) -> None:
        changed = set()
        for item in items:
            name = (item.namespace, item.job)
            job = context.get(KIND_NAME, *name)
            if job is None or job["metadata"]["uid"] != item.uid or _over(job):
                continue
            self._held[name] = {**_of(item.uid, self._held.get(name, {})), item.index: item}
            changed.add(name)
        for name in sorted(changed):
            context.put(TOPIC, *name, self._held[name], wake=[Key(KIND_NAME, *name)])

    def _follow(self, context: PollerContext, changes: Changes) -> None:
        """Note which jobs run; forget the records of those that do no more, and of a namesake deleted meanwhile."""
        for name in changes.take():
            job = context.get(KIND_NAME, *name)
            uid = None if job is None or _over(job) else job["metadata"]["uid"]
            if uid is None:
                self._running.discard(name)
            else:
                self._running.add(name)
            held = self._held.pop(name, {})
            kept = {} if uid is None else _of(uid, held)
            if kept:
                self._held[name] = kept
            if len(kept) < len(held):
                context.put(TOPIC, *name, kept or None)


def _of(uid: str, records: Mapping[int, RunProgressRecord]) -> dict[int, RunProgressRecord]:
    """Return the records of one training job, and not those of a namesake that was deleted."""
    return {index: record for index, record in records.items() if record.uid == uid}


async def _ask(context: PollerContext, cursor: str) -> ProgressPage:
    query = {"wait": str(WAIT_S), **({"since": cursor} if cursor else {})}
    path, within = f"{API_PREFIX}/progress", timedelta(seconds=WAIT_S + _SLACK_S)
    async with logbook.request(context, "GET", path, within=within, params=query, raise_for_status=True) as answer:
        return ProgressPage.model_validate_json(await answer.read())


def _over(job: Mapping[str, object]) -> bool:
    status = job.get("status")
    return isinstance(status, Mapping) and "finishedAt" in status


SOURCE = ProgressSource()
