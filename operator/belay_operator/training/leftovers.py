"""What deleted trainings left at the logbook: looked for now and then, and removed.

Nobody waits for this. An RLTrainingJob has no finalizer, so it is gone at once, also where no operator runs; what only
its own pods could use is useless from then on, because a job made again has another uid and another key. The logbook
knows which jobs it keeps something of, the API server which of them exist. Whatever is kept of a job that does not
exist goes, some time after that was first seen: so nothing depends on a deletion being noticed.

Files on a claim are the user's, as they are for all of Kubernetes, and stay.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from pydantic import ValidationError

from belay_api import names
from belay_api.wire import API_PREFIX, KeptJobs
from belay_operator.engine import logbook
from belay_operator.engine.errors import ApiError
from belay_operator.engine.source import PollerContext
from belay_operator.job_key import KEY_ANNOTATION, secret_of

KIND_NAME = "RLTrainingJob"
PERIOD = timedelta(minutes=10)
GRACE = timedelta(hours=1)
"""From the first look that finds no such job. Pods may outlive their job for a while, and a mistake of ours would cost
trainings of days."""
_WITHIN = timedelta(minutes=1)  # of one request; a job of a thousand seeds has some thousand files

log = logging.getLogger(__name__)

Job = tuple[str, str]  # namespace, uid


class Leftovers:
    """The poller that removes them. It writes no fact: nobody is left to be told."""

    name = "leftovers"

    def __init__(self, *, period: timedelta = PERIOD, grace: timedelta = GRACE) -> None:
        self._period, self._grace = period, grace
        self._missing_since: dict[Job, datetime] = {}

    async def run(self, context: PollerContext) -> None:
        """Look until cancelled."""
        if context.settings.logbook_url is None:
            await asyncio.Event().wait()  # nothing to ask; the engine would start a source that returned again
        while True:
            await asyncio.sleep(self._period.total_seconds())
            try:
                await self._look(context)
            except (aiohttp.ClientError, TimeoutError, ValidationError) as error:
                log.info("what deleted trainings left stays for now (%s); the next look is in %s", error, self._period)

    async def _look(self, context: PollerContext) -> None:
        kept = KeptJobs.model_validate_json(await _ask(context, "GET", f"{API_PREFIX}/jobs")).items
        exist, now = context.known_uids(KIND_NAME), context.now()
        missing = [(one.namespace, one.uid) for one in kept if one.uid not in exist]
        self._missing_since = {job: self._missing_since.get(job, now) for job in missing}
        due = [job for job, since in self._missing_since.items() if now - since >= self._grace]
        for namespace in sorted({namespace for namespace, _ in due}):
            await self._remove(context, namespace, [uid for of, uid in due if of == namespace])

    async def _remove(self, context: PollerContext, namespace: str, uids: Iterable[str]) -> None:
        try:
            exist = await context.live_uids(KIND_NAME, namespace)  # never destroy on the cache's word
        except ApiError as error:  # a namespace that is not ours to look at, say
            log.info("whether trainings of namespace %s exist is not known: %s", namespace, error)
            return
        jobs = context.in_namespace("Job", namespace)
        for uid in uids:
            if uid in exist or _outlived(jobs, uid):
                continue
            await _ask(context, "DELETE", f"{API_PREFIX}/namespaces/{namespace}/jobs/{uid}")
            log.info("training job %s of namespace %s was deleted: its checkpoints are removed", uid, namespace)


def _outlived(jobs: Iterable[Mapping[str, Any]], uid: str) -> bool:
    """Whether one of the Jobs is of that training, which was deleted with `--cascade=orphan`: its pods go on."""
    for job in jobs:
        meta = job["metadata"]
        training = (meta.get("labels") or {}).get(names.TRAINING_JOB_LABEL)
        key = (meta.get("annotations") or {}).get(KEY_ANNOTATION)
        if training is not None and key == secret_of(training, uid):
            return True
    return False


async def _ask(context: PollerContext, method: str, path: str) -> bytes:
    async with logbook.request(context, method, path, within=_WITHIN, raise_for_status=True) as answer:
        return await answer.read()


SOURCE = Leftovers()
