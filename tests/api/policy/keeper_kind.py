"""A rollout reduced to what it does about policies that were deleted; its status is written by the test."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from belay_operator.children import Owner
from belay_operator.engine.change import Change
from belay_operator.engine.kind import Kind, Priority, Reader
from belay_operator.engine.plan import EMPTY, Key, Plan, Settings
from belay_operator.policy.leftover import Leftover, concerned, leftovers_of, outlived


def observe(body: Mapping[str, Any], reader: Reader, settings: Settings) -> tuple[Leftover, ...]:
    return leftovers_of(reader, Owner.of(body))


def decide(observed: tuple[Leftover, ...], now: datetime) -> Plan:
    return Plan(delete=outlived(observed, now))


def related(change: Change, reader: Reader) -> Iterable[Key]:
    return [Key("RLRollout", change.name[0], name) for name in concerned(change.kind, change.latest, reader)]


KIND = Kind(
    name="RLRollout",
    plural="rlrollouts",
    observe=observe,
    decide=decide,
    invalid=lambda body, message, now: EMPTY,
    priority=lambda body, reader: Priority.ROLLOUT,
    related=related,
)
