"""Ask the logbook what is known of the steps `shadow` under way, every few seconds. It measures no metric.

Nobody waits for an answer to the second: what is judged at all is judged when the step's duration is over.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import aiohttp
from pydantic import ValidationError

from belay_api.shadowing import step_of
from belay_api.units import parse_instant
from belay_api.wire import API_PREFIX, ShadowReport
from belay_operator.engine import logbook
from belay_operator.engine.plan import Key
from belay_operator.engine.source import PollerContext, Source
from belay_operator.rollout.facts import ShadowFact
from belay_operator.rollout.move import instant
from belay_operator.rollout.raw_status import is_rolling_back
from belay_operator.rollout.sources.following import follow

TOPIC = "shadow"
PERIOD = timedelta(seconds=5)
ANSWER_TIME = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class ShadowQuery:
    """One step under way."""

    key: Key
    step: str
    candidate: str
    stable: str

    @property
    def query(self) -> dict[str, str]:
        """As parameters of a request."""
        return {"rollout": self.key.name, "step": self.step, "candidate": self.candidate, "stable": self.stable}

    @property
    def path(self) -> str:
        """The path asked, without parameters."""
        return f"{API_PREFIX}/namespaces/{self.key.namespace}/shadows"


class ShadowWatch:
    """The Source."""

    name = "shadow"

    async def run(self, context: PollerContext) -> None:
        """Keep one task per step under way."""
        if context.settings.logbook_url is None:
            await asyncio.Event().wait()  # nothing to ask, ever; the step says so itself
        await follow(context, TOPIC, wanted=asked_of, ask=_keep_asking)


def asked_of(rollout: Mapping[str, Any]) -> frozenset[ShadowQuery]:
    """Return what to ask for a rollout: nothing, unless something is mirrored in it."""
    status = rollout.get("status") or {}
    step = status.get("step") or {}
    mirror = step.get("mirror")
    if not mirror or "refused" in mirror or is_rolling_back(status):
        return frozenset()
    meta = rollout["metadata"]
    try:
        asked = ShadowQuery(
            key=Key("RLRollout", meta["namespace"], meta["name"]),
            step=step_of(parse_instant(step["startedAt"])),
            candidate=status["candidate"]["policy"],
            stable=status["stable"]["policy"],
        )
    except (KeyError, ValueError):
        return frozenset()
    return frozenset((asked,))


async def _keep_asking(context: PollerContext, asked: ShadowQuery) -> None:
    while True:
        began = instant(context.now())
        report, problem = await _ask(context, asked)
        query = f"logbook {asked.path}?{urlencode(asked.query)}"
        fact = ShadowFact(asked.step, asked.candidate, asked.stable, began, query, report, problem)
        context.put(TOPIC, asked.key.namespace, asked.key.name, fact, wake=(asked.key,))
        await asyncio.sleep(PERIOD.total_seconds())


async def _ask(context: PollerContext, asked: ShadowQuery) -> tuple[ShadowReport | None, str | None]:
    """Return what is known, or why that is not known."""
    try:
        request = logbook.request(context, "GET", asked.path, within=ANSWER_TIME, params=asked.query)
        async with request as answer:
            body = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        return None, f"the logbook does not answer ({type(error).__name__})"
    if answer.status != 200:
        return None, f"the logbook answers {answer.status}: {logbook.refusal(body)}"
    try:
        return ShadowReport.model_validate_json(body), None
    except ValidationError:
        return None, "the logbook's answer is not what this version of Belay understands"


POLLER: Source = ShadowWatch()
