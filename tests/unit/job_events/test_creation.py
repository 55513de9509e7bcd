"""The Job controller's words about pods it cannot make; `tests/api/training` has a real controller say them."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.policy.judging import judging_job
from tests.unit.training.given import JOB_UID, NAME, child_job

from belay_operator.engine.errors import error_of
from belay_operator.engine.plan import Key
from belay_operator.engine.pollers import ChangedNames
from belay_operator.job_events import creation
from belay_operator.job_events.creation import failures

JOB = f"{NAME}-a1"


def event(message: str, *, at: str, uid: str = JOB_UID) -> dict[str, Any]:
    return {
        "metadata": {"creationTimestamp": at},
        "involvedObject": {"uid": uid},
        "lastTimestamp": at,
        "message": message,
    }


def job() -> dict[str, Any]:
    made = child_job()
    made["metadata"]["namespace"] = "default"
    return made


def test_the_newest_words_count_and_the_name_of_no_pod_is_in_them() -> None:
    quota = 'Error creating: pods "cartpole-a1-0-{}" is forbidden: exceeded quota: small, limited: cpu={}.'
    events = [
        event(quota.format("x7k2p", 1), at="2026-05-04T09:00:00Z"),
        event(quota.format("99abc", 2), at="2026-05-04T09:30:00Z"),
        event(quota.format("q4q4q", 3), at="2026-05-04T09:10:00Z"),
    ]
    assert failures([job()], events) == {("default", JOB): "exceeded quota: small, limited: cpu=2"}


def test_words_about_another_job_are_not_ours() -> None:
    assert failures([job()], [event("Error creating: no", at="2026-05-04T09:00:00Z", uid="other")]) == {}
    stranger = job()
    stranger["metadata"]["labels"] = {}
    assert failures([stranger], [event("Error creating: no", at="2026-05-04T09:00:00Z")]) == {}


class Context:
    """One Job without pods, and an API server that answers with Events or, every second time, not at all."""

    def __init__(self) -> None:
        self.job, self.asked = job(), 0
        self.told: list[tuple[str | None, list[Key]]] = []
        self.enough = asyncio.Event()

    def now(self) -> datetime:
        return datetime(2026, 5, 4, 10, tzinfo=UTC)

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self.job

    @contextlib.contextmanager
    def changes(self, kind: str) -> Iterator[ChangedNames]:
        yield ChangedNames([("default", f"{NAME}-a1")])

    async def events(self, namespace: str, *, kind: str, reason: str) -> list[Mapping[str, Any]]:
        self.asked += 1
        if self.asked == 6:
            self.enough.set()
        if self.asked % 2 == 0:
            raise error_of("GET events", 503, "", "")
        return [event("Error creating: no room", at="2026-05-04T09:00:00Z")]

    def put(self, topic: str, namespace: str, name: str, value: str | None, *, wake: Iterable[Key] = ()) -> None:
        assert (topic, name) == ("creation", JOB)
        self.told.append((value, list(wake)))


@pytest.mark.asyncio
async def test_what_was_said_stands_while_the_api_server_does_not_answer() -> None:
    """Each change of words is a write; a busy API server got two more for each answer that it owed."""
    context = Context()
    running = asyncio.create_task(creation.source(period_s=0).run(context))  # type: ignore[arg-type]
    await context.enough.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert context.told == [("no room", [Key("RLTrainingJob", "default", NAME)])]


def test_a_job_that_judges_a_policy_is_asked_about_as_well() -> None:
    made = judging_job({"validation": {"gates": [{"performance": {"minReturn": 1}}]}}, "validation")
    made["metadata"]["namespace"] = "default"
    told = failures([made], [event("Error creating: no room", at="2026-05-04T09:00:00Z", uid="uid-validation")])
    assert told == {("default", made["metadata"]["name"]): "no room"}
