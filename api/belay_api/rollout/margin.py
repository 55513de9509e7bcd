"""What the candidate may be worse by: a share of stable's mean, or a number in the outcome's own unit."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

MARGIN_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,9})?%?$"


@dataclass(frozen=True, slots=True)
class Margin:
    """What the candidate may be worse by and still pass; stakes aim at it."""

    value: float  # above 0
    relative: bool  # a share of |stable's mean|, so that it is a size whatever the sign; else in the outcome's own unit


def parse_margin(value: Any) -> Margin:
    """Return the margin that a resource says: `10%` is a share, `0.5` or 5 is in the outcome's own unit.

    Raises: ValueError when it is neither.
    """
    if isinstance(value, Margin):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Margin(float(value), relative=False)
    if not isinstance(value, str) or not re.match(MARGIN_PATTERN, value):
        raise ValueError(f'{value!r} is no margin; write a share of stable\'s mean (10%) or a number (5, "0.5")')
    return (
        Margin(float(value[:-1]) / 100, relative=True) if value.endswith("%") else Margin(float(value), relative=False)
    )


def format_margin(margin: Margin) -> str:
    """Return the margin as a resource says it."""
    if margin.relative:
        return f"{round(margin.value * 100, 6):g}%"
    return f"{margin.value:.9f}".rstrip("0").rstrip(".")


MarginText = Annotated[
    Margin,
    BeforeValidator(parse_margin),
    PlainSerializer(format_margin, return_type=str),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": MARGIN_PATTERN,
            "minimum": 0,
            "maxLength": 23,
        }
    ),
]
"""A `Margin` in code; in a resource a share (`10%`) or a number, of which a fraction is text (decision 013)."""
