"""Whether a limit that is watched for months is broken, and whether that is over.

It is broken as on trial. That it is over takes what a Pass takes, and time besides: what comes and goes is one alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from belay_operator.rollout.analysis.blocks import Held
from belay_operator.rollout.analysis.limits import FAIL_AT

CALM_AT = 0.1  # evidence: a tenth of what begins an alarm
CALM = timedelta(hours=1)  # of blocks with requests


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one limit so far."""

    held: Held
    calm_s: float = 0.0  # so long there has been next to no evidence that it is broken

    @property
    def is_broken(self) -> bool:
        """Whether the limit is shown to be broken."""
        return self.held.against >= FAIL_AT

    @property
    def is_over(self) -> bool:
        """Whether a breach is shown to be over: that takes evidence as well, and time."""
        return self.held.in_favour >= 1 and self.calm_s >= CALM.total_seconds()

    def after(self, held: Held, elapsed_s: float) -> Seen:
        """Return what was seen once a look has found `held`, so long after the look before."""
        if held == self.held:
            return self
        return Seen(held, self.calm_s + elapsed_s if held.against <= CALM_AT else 0.0)
