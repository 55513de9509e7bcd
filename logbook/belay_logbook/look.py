"""A look: read the question, answer it, and with an etag wait until the answer is another."""

import asyncio
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby

from belay_api.units import parse_instant
from belay_logbook import metrics
from belay_logbook.db import READERS, Database
from belay_logbook.episodes import OUTCOME_NAME
from belay_logbook.errors import BadRequest, Unavailable
from belay_logbook.longpoll import MAX_WAIT, Feed, Topic
from belay_logbook.sealed import Question, Seal, keep
from belay_logbook.statistics import Answer, Look, compute

MIN_GAP = timedelta(milliseconds=50)  # between two computations for one waiting caller, however fast news comes
COST_SHARE = 4  # and at least this many times what a computation took: one caller costs at most a fifth of a core
AT_ONCE = READERS - 2  # looks: a first one may take many seconds, and readiness and the store read as well
MAX_VERSIONS = 16
MAX_CUTS = 64  # twice the steps that a rollout may have
SEALED_AT_ONCE = 16  # spans in one transaction: what is kept of a long past must not hold up those who report
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_SPAN_S = 366 * 86400.0
_KNOWN = frozenset({"versions", "rollout", "outcome", "window", "grace", "since", "cuts", "by", "wait", "etag"})
_UNITS = ("episode", "user")
_ROLLOUT = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


def episodes_topic(namespace: str) -> Topic:
    """Return what a commit of episodes wakes."""
    return ("episodes", namespace)


def parse_wait(query: Mapping[str, str]) -> timedelta:
    """Return how long the caller would wait, at most MAX_WAIT. Raises: BadRequest."""
    return min(timedelta(seconds=_seconds(query, "wait", 0.0, least=0.0)), MAX_WAIT)


def parse_look(namespace: str, query: Mapping[str, str]) -> Look:
    """Return the question in a query string. Raises: BadRequest, naming the parameter."""
    if unknown := sorted(set(query) - _KNOWN):
        raise BadRequest(f"{unknown[0]} is no parameter; known: {', '.join(sorted(_KNOWN))}", field=unknown[0])
    versions = tuple(dict.fromkeys(name for name in query.get("versions", "").split(",") if name))
    if not 1 <= len(versions) <= MAX_VERSIONS:
        raise BadRequest(
            f"versions names {len(versions)}, wanted 1 to {MAX_VERSIONS}, separated by commas", field="versions"
        )
    rollout = query.get("rollout")
    if rollout is not None and not _ROLLOUT.fullmatch(rollout):
        raise BadRequest(f"rollout is {rollout[:80]!r}: not the name of an RLRollout", field="rollout")
    outcome = query.get("outcome", "return")
    if not OUTCOME_NAME.fullmatch(outcome):
        raise BadRequest(f"outcome is {outcome[:80]!r}: not the name of an outcome", field="outcome")
    return Look(
        namespace=namespace,
        versions=versions,
        outcome=outcome,
        window=timedelta(seconds=_seconds(query, "window", 60.0, least=1.0)),
        grace=timedelta(seconds=_seconds(query, "grace", 60.0, least=0.0)),
        since=_instant(query["since"], "since") if query.get("since") else _EPOCH,
        rollout=rollout,
        cuts=_cuts(query.get("cuts")),
        by_user=_unit(query.get("by")) == "user",
    )


class Looks:
    """Answers looks, and has the writer keep what they counted."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._database = database
        self._feed = feed
        self._free = asyncio.Semaphore(AT_ONCE)
        self._sealing: asyncio.Task[None] | None = None

    async def take(self, look: Look, *, etag: str | None, wait: timedelta) -> bytes:
        """Return the numbers as soon as their etag differs from `etag`, or what they are when `wait` is over.

        Under a stream of episodes there is always news; so a waiting caller is answered no sooner than a gap after it
        came. In quiet times that gap has long passed when the row comes, and the row is answered at once.

        Returns: `wire.Statistics` as JSON.
        """
        arrived = time.monotonic()
        deadline = arrived + wait.total_seconds()
        topic = episodes_topic(look.namespace)
        with metrics.WAITING.track_inprogress():
            while True:
                mark = self._feed.mark(topic)
                began = time.monotonic()
                answer = await self._compute(look)
                ended = time.monotonic()
                if etag is None or ended >= deadline or self._feed.closing:
                    return answer.body
                gap = max(MIN_GAP.total_seconds(), COST_SHARE * (ended - began))
                if answer.etag != etag:
                    if ended >= arrived + gap:
                        return answer.body
                    await self._feed.rest(min(arrived + gap, deadline) - ended)
                    continue
                until = deadline - ended
                if answer.due_ms is not None:
                    until = min(until, max(answer.due_ms / 1000 - time.time(), 0.001))
                await self._feed.changed(topic, mark, until)
                await self._feed.rest(min(began + gap, deadline) - time.monotonic())

    async def _compute(self, look: Look) -> Answer:
        async with self._free:
            at_ms = self._database.horizon_ms()
            with metrics.STATISTICS_SECONDS.time():
                answer = await self._database.read(lambda connection: compute(connection, look, at_ms))
        # One at a time: what is not kept now, the next look finds again. Nobody waits for it.
        if answer.seals and (self._sealing is None or self._sealing.done()):
            self._sealing = asyncio.create_task(self._keep(answer.seals))
        return answer

    async def _keep(self, seals: Sequence[tuple[Question, Seal]]) -> None:
        with suppress(Unavailable):  # the disk refuses, or the process ends: looks go on, only dearer
            for question, group in groupby(seals, lambda pair: pair[0]):
                spans = [seal for _, seal in group]
                for first in range(0, len(spans), SEALED_AT_ONCE):
                    await self._database.write(partial(_keep, question, spans[first : first + SEALED_AT_ONCE]))


def _keep(question: Question, spans: Sequence[Seal], connection: sqlite3.Connection, _: int) -> None:
    keep(connection, question, spans)


def _unit(text: str | None) -> str:
    if text is not None and text not in _UNITS:
        raise BadRequest(f"by is {text[:80]!r}, wanted {' or '.join(_UNITS)}", field="by")
    return text or _UNITS[0]


def _cuts(text: str | None) -> tuple[datetime, ...]:
    cuts = text.split(",") if text else []
    if len(cuts) > MAX_CUTS:
        raise BadRequest(
            f"cuts names {len(cuts)} instants, at most {MAX_CUTS} are taken: leave out those before since", field="cuts"
        )
    return tuple(sorted({_instant(cut, "cuts") for cut in cuts}))


def _instant(text: str, field: str) -> datetime:
    try:
        return max(parse_instant(text.replace(" ", "+")), _EPOCH)  # a `+` that was not quoted arrives as a space
    except (ValueError, OverflowError) as error:  # the second: a year that has no such instant in UTC
        raise BadRequest(f"{field}: {error}", field=field) from error


def _seconds(query: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = query.get(name)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = -1.0
    if not least <= value <= _LONGEST_SPAN_S:  # NaN fails as well
        raise BadRequest(f"{name} is {text!r}, wanted seconds from {least:g} to {_LONGEST_SPAN_S:g}", field=name)
    return value
