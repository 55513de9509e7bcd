"""How a check says what it found."""

from collections.abc import Callable

from belay_api.findings import LONGEST, Finding
from belay_api.reasons import FindingReason
from belay_trainer.diagnosis.evidence import Evidence

Check = Callable[[Evidence], Finding | None]
"""One thing that may be wrong: None where it is not, or where the evidence does not tell. Pure."""


def found(reason: FindingReason, message: str, advice: str) -> Finding:
    """Return a finding. Args: message: One sentence with what was seen, in numbers; advice: what to try."""
    return Finding(reason=reason.value, message=message[:LONGEST], advice=advice)
