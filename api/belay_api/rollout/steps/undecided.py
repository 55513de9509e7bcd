"""What a step that judges the candidate does where it cannot tell."""

from enum import StrEnum


class UndecidedAction(StrEnum):
    """What to do with a candidate of which not enough is known."""

    HOLD = "Hold"
    """Stay at the step, and say what is missing."""
    CONTINUE = "Continue"
    """Go on: the next steps judge it by live traffic."""
    ROLLBACK = "Rollback"
    """Take the candidate back; its digest is rejected."""
