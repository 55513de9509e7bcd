"""What a training's diagnosis tells: found in the pod, carried by heartbeats and its report, shown in the status."""

from typing import Annotated

from pydantic import Field

from belay_api.model import StatusModel

MOST_FINDINGS = 3  # told of one seed, and shown of one job: what stands first may cause what follows
LONGEST = 500  # characters of a sentence; any image may tell of its seeds, and a status has little room
EARLY = 20_000
"""Timesteps. Presets need as many for the easiest tasks: before, it says nothing that a policy has not learned."""


class Finding(StatusModel):
    """One thing that the diagnosis found."""

    reason: Annotated[str, Field(max_length=64)]
    """One of `FindingReason`, or of a newer trainer's."""
    message: Annotated[str, Field(max_length=LONGEST)]
    """What was seen, in numbers."""
    advice: Annotated[str, Field(max_length=LONGEST)]
    """What to try."""


class JobFinding(Finding):
    """One thing that was found, and in how many seeds. Its words are those of the first seed that had it."""

    seeds: int
    """How many seeds have it."""
