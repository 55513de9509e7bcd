"""What was told, and what is still to be sent: pure bookkeeping, kept in a ConfigMap by the notifier.

Who reads it after a crash has to know three things that no status says:

accounted   which of what happened was taken up. All of it until `since`; after that, by id. `since` stays `LAG` behind,
            because an instant in a status is older than the moment at which it gets here
standing    which situations were taken up, and when they were first seen
waiting     events that are not sent yet, for each receiver, in order

The rest follows from statuses, so it holds little however many objects there are.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from belay_api.content import content_hash
from belay_api.units import format_instant, parse_instant
from belay_operator.notify import event as events
from belay_operator.notify.event import Event, Subject
from belay_operator.notify.formats.request import encoded
from belay_operator.notify.receivers import Receiver
from belay_operator.notify.told import TELLING
from belay_operator.notify.told.telling import Severity, conditions

FORMAT = 1
LAG = timedelta(minutes=2)  # writes of a status, and the clocks of two operators, are never as far apart
WAITING_BYTES = 400_000  # of all receivers together; a ConfigMap holds 1 MiB
STANDING = 3_000  # situations: nobody reads more, and each takes some 120 bytes

Name = tuple[str, str, str]
"""Kind, namespace and name."""


@dataclass(frozen=True, slots=True)
class OpenSituation:
    """One that was taken up."""

    uid: str
    reason: str
    severity: Severity
    words: str  # hash of its message: other words are another situation, which nothing has to end for
    at: datetime  # when it was first seen


class Ledger:
    """Taken up by `take_up`, sent by whoever asks for `waiting`, written down by `dump`."""

    def __init__(self, receivers: Iterable[Receiver], now: datetime) -> None:
        """A first ledger: what happened before `now` is nobody's news, what stands is."""
        self._receivers = tuple(receivers)
        self.since = now
        self.changed = True  # since it was written down; whoever does that resets it
        self._accounted: dict[str, datetime] = {}
        self._standing: dict[Name, list[OpenSituation]] = {}
        self._count = 0  # of situations
        self.waiting: dict[str, OrderedDict[str, Event]] = {one.name: OrderedDict() for one in self._receivers}
        self._bytes = dict.fromkeys(self.waiting, 0)

    @property
    def objects(self) -> set[Name]:
        """Return the objects of which a situation stands, as far as is known."""
        return set(self._standing)

    def take_up(self, name: Name, body: Mapping[str, Any] | None, now: datetime) -> list[Event]:
        """Return what is new about an object, each event once; `body`: None where there is none, or it goes."""
        found = self._news(name, body, now)
        self.changed = self.changed or bool(found)
        return found

    def add(self, event: Event) -> list[str]:
        """Let `event` wait for those receivers that want it; return the receivers of whom one was dropped for it."""
        dropped = []
        for receiver in self._receivers:
            if receiver.wants(event):
                queue = self.waiting[receiver.name]
                queue[event["id"]] = event
                self._bytes[receiver.name] += _size(event)
                while self._bytes[receiver.name] > WAITING_BYTES // len(self._receivers):
                    self.remove(receiver.name, _least(queue))
                    dropped.append(receiver.name)
        return dropped

    def remove(self, receiver: str, event_id: str) -> None:
        """Forget an event that was sent to a receiver, or given up."""
        self.changed = True
        gone = self.waiting[receiver].pop(event_id, None)
        self._bytes[receiver] -= 0 if gone is None else _size(gone)

    def dump(self, now: datetime) -> str:
        """Return everything as text, and from now on leave out what nobody asks for any more."""
        self.since = max(self.since, now - LAG)
        self._accounted = {event_id: at for event_id, at in self._accounted.items() if at > self.since}
        standing = [
            [*name, one.uid, one.reason, str(one.severity), one.words, format_instant(one.at)]
            for name, found in self._standing.items()
            for one in found
        ]
        said = {
            "format": FORMAT,
            "since": format_instant(self.since),
            "accounted": {event_id: format_instant(at) for event_id, at in self._accounted.items()},
            "standing": standing,
            "waiting": {name: list(queue.values()) for name, queue in self.waiting.items()},
        }
        return encoded(said).decode()

    @classmethod
    def load(cls, text: str, receivers: Iterable[Receiver], now: datetime) -> "Ledger":
        """Return the ledger that `text` is. A receiver that is new gets what is news from now on.

        Raises: ValueError where it is no ledger of ours.
        """
        ledger = cls(receivers, now)
        ledger.changed = False
        try:
            said = json.loads(text)
            if said["format"] != FORMAT:
                raise ValueError(f"format {said['format']}: wanted {FORMAT}")
            ledger.since = parse_instant(said["since"])
            ledger._accounted = {event_id: parse_instant(at) for event_id, at in said["accounted"].items()}
            for kind, namespace, name, uid, reason, severity, words, at in said["standing"]:
                if kind in TELLING:
                    one = OpenSituation(uid, reason, Severity(severity), words, parse_instant(at))
                    ledger._standing.setdefault((kind, namespace, name), []).append(one)
                    ledger._count += 1
            for receiver, queue in said["waiting"].items():
                for event in queue if receiver in ledger.waiting else ():
                    ledger.waiting[receiver][event["id"]] = event
                    ledger._bytes[receiver] += _size(event)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        return ledger

    def _news(self, name: Name, body: Mapping[str, Any] | None, now: datetime) -> list[Event]:
        kind, namespace, object_name = name
        telling = TELLING[kind]
        found: list[Event] = []
        if body is None or "deletionTimestamp" in body["metadata"]:
            gone = self._standing.pop(name, [])
            self._count -= len(gone)
            for one in gone:
                subject = Subject(telling, namespace, object_name, one.uid)
                found.append(_end(subject, one, now, "it was deleted"))
            return found
        subject, status = Subject(telling, namespace, object_name, body["metadata"]["uid"]), body.get("status") or {}
        for happening in telling.happened(status):
            event_id = events.happened_id(subject, happening)
            if happening.at > self.since and event_id not in self._accounted:
                self._accounted[event_id] = happening.at
                found.append(events.happened(subject, happening))
        found.sort(key=lambda event: str(event["time"]))
        return found + self._situations(subject, name, status, now)

    def _situations(self, subject: Subject, name: Name, status: Mapping[str, Any], now: datetime) -> list[Event]:
        stands, facts = subject.telling.stands(status), subject.telling.facts(status)
        before = {(one.uid, one.reason): one for one in self._standing.get(name, ())}
        after: list[OpenSituation] = []
        found: list[Event] = []
        self._count -= len(before)
        for one in stands:
            words, known = content_hash(one.message), before.pop((subject.uid, one.reason), None)
            if known is not None and known.words == words:
                after.append(known)
            elif known is not None or self._count + len(after) < STANDING:
                after.append(OpenSituation(subject.uid, one.reason, one.severity, words, now))
                found.append(events.began(subject, one, now, facts))
        over = [
            _end(Subject(subject.telling, *name[1:], one.uid), one, now, _instead(status)) for one in before.values()
        ]
        self._count += len(after)
        if after:
            self._standing[name] = after
        else:
            self._standing.pop(name, None)
        return over + found


def _end(subject: Subject, one: OpenSituation, now: datetime, message: str) -> Event:
    return events.ended(subject, one.reason, one.severity, began_at=one.at, at=now, message=message)


def _instead(status: Mapping[str, Any]) -> str:
    """What is so instead, in the words of Ready."""
    ready = next((one for one in conditions(status) if one.get("type") == "Ready"), None)
    return "nothing more is known" if ready is None else f"now {ready['reason']}: {ready.get('message') or ''}"


def _least(queue: Mapping[str, Event]) -> str:
    """The event that matters least: of the lowest severity the oldest."""
    for severity in Severity:
        for event_id, event in queue.items():
            if event["data"]["severity"] == severity:
                return event_id
    raise ValueError("nothing waits")


def _size(event: Event) -> int:
    return len(encoded(event)) + 1
