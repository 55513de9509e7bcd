"""A rollout reduced to what it does about policies that were deleted; its status is written by the test."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from belay_operator.children import Owner
from belay_operator.engine.kind import Kind, Reader
from belay_operator.engine.plan import EMPTY, Key, Plan, Settings
from belay_operator.policy.leftover import Leftover, concerned, leftovers_of, outlived


def observe(body: Mapping[str, Any], reader: Reader, settings: Settings) -> tuple[Leftover, ...]:
    return leftovers_of(reader, Owner.of(body))


def decide(observed: tuple[Leftover, ...], now: datetime) -> Plan:
    return Plan(delete=outlived(observed, now))


def related(kind: str, body: Mapping[str, Any], reader: Reader) -> Iterable[Key]:
    return [Key("RLRollout", body["metadata"]["namespace"], name) for name in concerned(kind, body, reader)]


KIND = Kind(
    name="RLRollout",
    plural="rlrollouts",
    observe=observe,
    decide=decide,
    invalid=lambda body, message, now: EMPTY,
    priority=lambda body, reader: 1,
    related=related,
)
