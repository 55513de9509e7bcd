"""The two sorts of news: what happened at an instant that status records, and situations that stand until they end."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Status = Mapping[str, Any]
"""As the API server has it."""


class Severity(StrEnum):
    """How much it matters; the order is that of the list."""

    INFO = "info"
    """As it should go."""
    WARNING = "warning"
    """Somebody should know, or is waited for."""
    ERROR = "error"
    """Something is wrong and does not mend itself."""

    @property
    def rank(self) -> int:
        """Return its place: higher matters more."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that status says to have happened. Object, reason, instant and policy tell it from everything else."""

    reason: str
    at: datetime
    severity: Severity
    message: str
    policy: str | None = None  # of a rollout: the candidate concerned
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stands:
    """A situation that the status says to stand. Since when, status does not always say: the ledger does."""

    reason: str
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class Telling:
    """What one kind tells."""

    kind: str
    plural: str
    word: str  # in event types, and before reasons that begin with it
    happens: tuple[str, ...]  # reasons of what `happened` returns
    happened: Callable[[Status], Iterable[Happened]]
    situations: Mapping[str, Mapping[str, Severity]]
    """Condition type → reasons told. Ready tells them while it is False, every other condition while it is True."""
    facts: Callable[[Status], Mapping[str, Any]] = lambda status: {}
    """What goes with a situation, as status has it when it begins."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return every reason that the kind can tell."""
        return (*self.happens, *(reason for table in self.situations.values() for reason in table))

    def stands(self, status: Status) -> list[Stands]:
        """Return the situations that stand, each reason once."""
        found: dict[str, Stands] = {}
        for one in conditions(status):
            severity = self.situations.get(one.get("type", ""), {}).get(one.get("reason", ""))
            told_while = "False" if one.get("type") == "Ready" else "True"
            if severity is not None and one.get("status") == told_while:
                found.setdefault(one["reason"], Stands(one["reason"], severity, one.get("message") or ""))
        return list(found.values())


def conditions(status: Status) -> Iterable[Mapping[str, Any]]:
    """Return the conditions of a status."""
    return status.get("conditions") or ()


def condition(status: Status, kind: str) -> Mapping[str, Any] | None:
    """Return the condition of that type where it is True."""
    return next((one for one in conditions(status) if one.get("type") == kind and one.get("status") == "True"), None)
