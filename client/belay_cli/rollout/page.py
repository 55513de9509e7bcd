"""A rollout as it was read, and the page it is written on."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from belay_api.reasons import Verdict
from belay_api.rollout.status import RLRolloutStatus
from belay_api.units import format_duration
from belay_cli.terminal import Paint

INDENT = "  "
_VERDICT_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red"}


@dataclass(frozen=True, slots=True)
class Rollout:
    """One RLRollout. Its spec stays as it was read, so that an older plugin shows a newer spec."""

    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]
    status: RLRolloutStatus

    @property
    def name(self) -> str:
        """Of the RLRollout."""
        return str(self.metadata["name"])

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        """The steps that hold: from a recipe or an RLProgression as status has them, else the spec's own."""
        progression = self.status.progression
        return list(progression.steps if progression is not None else self.spec.get("steps") or ())

    @property
    def by_user(self) -> bool:
        """Whether users are assigned and counted, and not episodes."""
        return ((self.spec.get("traffic") or {}).get("gatewayAPI") or {}).get("assignment") == "User"

    @property
    def rolling_back(self) -> bool:
        """Whether a rollback is under way."""
        return self.status.phase == "RollingBack"


@dataclass(frozen=True, slots=True)
class Page:
    """How wide it is, what time it is, and whether it has colours."""

    columns: int
    now: datetime
    paint: Paint

    def wrap(self, text: str, *, indent: int = 1, hanging: int = 0) -> list[str]:
        """Return the text in lines.

        Args:
            indent: Levels before the first line.
            hanging: Further columns before all others.
        """
        before = INDENT * indent
        return textwrap.wrap(
            text,
            self.columns,
            initial_indent=before,
            subsequent_indent=before + " " * hanging,
            break_on_hyphens=False,
        )

    def ago(self, at: datetime) -> str:
        """Return how long ago, in two units: `2d3h ago`."""
        return f"{length(self.now - at)} ago"

    def lasting(self, since: datetime) -> str:
        """Return for how long, in two units: `for 2d3h`."""
        return f"for {length(self.now - since)}"

    def until(self, at: datetime) -> str:
        """Return how long still: `for 34m12s more`, or that it is over."""
        return f"for {length(at - self.now)} more" if at > self.now else "until the operator looks again"

    def verdict(self, verdict: str) -> str:
        """Return a verdict in its colour."""
        return self.paint(verdict, _VERDICT_COLOURS.get(Verdict(verdict), "yellow"))


def length(time: timedelta) -> str:
    """Return a length of time in its two largest units.

    >>> length(timedelta(days=2, hours=3, minutes=4)), length(timedelta(seconds=-1))
    ('2d3h', '0s')
    """
    seconds = max(0, int(time.total_seconds()))
    for unit, next_unit in ((86_400, 3600), (3600, 60)):
        if seconds >= unit:
            seconds -= seconds % next_unit
            break
    return format_duration(timedelta(seconds=seconds))


def digest(text: str) -> str:
    """Return as much of a digest as tells it from another: `sha256:0123456789ab`."""
    return text[:19]
