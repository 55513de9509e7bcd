"""What a measurement is in."""

from enum import StrEnum


class Unit(StrEnum):
    """What a measurement is in, and its limit is written in."""

    DURATION = "a duration"
    SHARE = "a share"
    NUMBER = "a plain number"
