"""Whether the built-in store takes anything, asked while a Job of ours has need of it: the fact `store`.

Pods wait for a logbook that is away, and could say so only to the logbook. So the operator asks it itself, and tells
those whose Jobs are at work or about to be. It asks for a row to be recorded: a full disk still answers who only reads.
"""

import asyncio
import logging
from datetime import datetime, timedelta

import aiohttp
from pydantic import ValidationError

from belay_api.wire import API_PREFIX, ErrorAnswer
from belay_operator.engine import logbook
from belay_operator.engine.plan import Key
from belay_operator.engine.source import Changes, PollerContext
from belay_operator.job_events.event_words import Name, Object, maker_of
from belay_operator.pods import shorten
from belay_operator.waiting import StoreOutage

TOPIC = "store"
PERIOD_S = 5.0  # between two questions, while a Job is at work
ANSWER_S = 5.0
CERTAIN_S = 10.0  # without an answer: a logbook that is made anew is away for less, and nobody has to hear of it

log = logging.getLogger(__name__)


class StoreWatch:
    """The poller of `store`."""

    name = TOPIC

    def __init__(self, *, period_s: float = PERIOD_S, certain_s: float = CERTAIN_S) -> None:
        self._period_s, self._certain = period_s, timedelta(seconds=certain_s)
        self._makers: dict[Name, Key] = {}  # of Jobs at work

    async def run(self, context: PollerContext) -> None:
        """Poll until cancelled."""
        if context.settings.logbook_url is None:
            await asyncio.Event().wait()  # nothing to ask; the engine would start a source that returned again
        self._makers.clear()
        outage: StoreOutage | None = None
        with context.changes("Job") as changes:
            while True:
                self._follow(context, changes)
                if not self._makers:
                    outage = None
                    context.put(TOPIC, "", "", None)
                    await changes.wait()
                    continue
                outage = _outage(outage, await _refusal(context), context.now())
                self._tell(context, outage)
                await asyncio.sleep(self._period_s)

    def _follow(self, context: PollerContext, changes: Changes) -> None:
        for name in changes.take():
            job = context.get("Job", *name)
            maker = maker_of(job) if job is not None and _at_work(job) else None
            if maker is None:
                self._makers.pop(name, None)
            else:
                self._makers[name] = maker

    def _tell(self, context: PollerContext, outage: StoreOutage | None) -> None:
        certain = outage if outage is not None and context.now() - outage.since >= self._certain else None
        if certain != context.fact(TOPIC, "", ""):
            log.info(
                "the logbook %s", "takes everything again" if certain is None else f"takes nothing: {certain.words}"
            )
            context.put(TOPIC, "", "", certain, wake=sorted(set(self._makers.values()), key=str))


def _outage(before: StoreOutage | None, words: str | None, now: datetime) -> StoreOutage | None:
    if words is None:
        return None
    return before or StoreOutage(now, words)


async def _refusal(context: PollerContext) -> str | None:
    """Return why nothing can be recorded; None: it can, or the logbook is of a version that does not say."""
    within = timedelta(seconds=ANSWER_S)
    try:
        async with logbook.request(context, "GET", f"{API_PREFIX}/writable", within=within) as answer:
            return _words(await answer.read()) if answer.status >= 500 else None
    except TimeoutError:
        return f"no answer within {ANSWER_S:g} s"
    except aiohttp.ClientError as error:
        return shorten(str(error) or type(error).__name__)


def _words(body: bytes) -> str:
    try:
        return shorten(ErrorAnswer.model_validate_json(body).error.message)
    except ValidationError:
        return shorten(body.decode(errors="replace"))


def _at_work(job: Object) -> bool:
    status = job.get("status") or {}
    ended = any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions") or ())
    return not (ended or job["spec"].get("suspend") or "deletionTimestamp" in job["metadata"])


SOURCE = StoreWatch()
