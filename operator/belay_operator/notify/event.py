"""One notification, as a CloudEvent 1.0 in its JSON form: what the ledger keeps and every format is made of.

`id` follows from what is told and never from when it is sent, so a receiver knows an event that it has already.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from belay_api import names
from belay_api.units import format_instant
from belay_operator.notify.told.telling import Happened, Severity, Stands, Telling

Event = dict[str, Any]
MESSAGE_LIMIT = 2_000  # characters of a message; a webhook of the cluster may have had more to say


class State(StrEnum):
    """Of what an event tells."""

    HAPPENED = "Happened"
    BEGAN = "Began"
    ENDED = "Ended"


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that is told of."""

    telling: Telling
    namespace: str
    name: str
    uid: str


def happened(subject: Subject, one: Happened) -> Event:
    """Return the event for what happened."""
    facts = one.facts if one.policy is None else {**one.facts, "policy": one.policy}
    said = {**_data(subject, one.reason, State.HAPPENED, one.severity, one.message), **facts}
    return _event(subject, happened_id(subject, one), one.at, said)


def began(subject: Subject, one: Stands, at: datetime, facts: Mapping[str, Any]) -> Event:
    """Return the event for a situation that was first seen at `at`."""
    said = {**_data(subject, one.reason, State.BEGAN, one.severity, one.message), **facts}
    return _event(subject, _id(subject, one.reason, format_instant(at), State.BEGAN), at, said)


def ended(
    subject: Subject, reason: str, severity: Severity, *, began_at: datetime, at: datetime, message: str
) -> Event:
    """Return the event for the end, seen at `at`, of the situation that was first seen at `began_at`."""
    said = _data(subject, reason, State.ENDED, severity, message)
    return _event(subject, _id(subject, reason, format_instant(began_at), State.ENDED), at, said)


def happened_id(subject: Subject, one: Happened) -> str:
    """Return the id of the event for what happened."""
    return _id(subject, one.reason, format_instant(one.at), one.policy or "")


def situation_id(event: Event) -> str:
    """Return what a situation's beginning and end have in common; of what happened its id."""
    data = event["data"]
    return event["id"] if data["state"] == State.HAPPENED else f"{data['uid']}/{data['reason']}"


def event_type(telling: Telling, reason: str, state: State) -> str:
    """Return the CloudEvents type, such as `dev.belay.rollout.rolled_back` or `dev.belay.rollout.holding.ended`."""
    short = reason.removeprefix(telling.word.capitalize())
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", short).lower()
    group = ".".join(reversed(names.GROUP.split(".")))
    return f"{group}.{telling.word}.{snake}" + (".ended" if state is State.ENDED else "")


def _event(subject: Subject, event_id: str, at: datetime, data: Event) -> Event:
    telling = subject.telling
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/apis/{names.API_VERSION}/namespaces/{subject.namespace}/{telling.plural}/{subject.name}",
        "type": event_type(telling, data["reason"], State(data["state"])),
        "subject": f"{subject.namespace}/{subject.name}",
        "time": format_instant(at),
        "datacontenttype": "application/json",
        "data": data,
    }


def _data(subject: Subject, reason: str, state: State, severity: Severity, message: str) -> Event:
    return {
        "kind": subject.telling.kind,
        "namespace": subject.namespace,
        "name": subject.name,
        "uid": subject.uid,
        "reason": reason,
        "state": str(state),
        "severity": str(severity),
        "message": message[:MESSAGE_LIMIT],
    }


def _id(subject: Subject, *parts: str) -> str:
    # No dot in it: what is signed is joined by dots.
    return hashlib.sha256("\n".join((subject.uid, *parts)).encode()).hexdigest()[:32]
