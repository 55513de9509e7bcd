"""Durations, shares, instants and quantities as users write them in a resource, and as code uses them.

A duration is text (`90s`, `10m`, `1h30m`, `7d`), a share is text (`10%`); both are checked by a pattern in the CRD, so
`parse_*` can only fail on text that never passed an API server with this version's CRDs.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from belay_api.model import rule, rules

_DIGITS = {"d": 4, "h": 5, "m": 7, "s": 9, "ms": 10}  # before the point: all together stay below 100 years
DURATION_PATTERN = "^" + "".join(rf"([0-9]{{1,{n}}}(\.[0-9]{{1,3}})?{unit})?" for unit, n in _DIGITS.items()) + "$"
"""The largest unit first, each once. Its length is bounded, so that no text that fits is too long for a clock."""
DURATION_RULE = f"self.matches('{DURATION_PATTERN.replace(chr(92), 2 * chr(92))}')"
"""The same in CEL, for the sentence: of a pattern alone people are told the pattern."""
PERCENT_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"

_DURATIONS = "90s, 10m, 1h30m or 7d: the largest unit first, at most 9999d"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")


def parse_duration(text: str) -> timedelta:
    """Return the duration that `text` names.

    Raises: ValueError when the text is no duration; write e.g. `90s`, `10m`, `1h30m` or `7d`.
    """
    if not text or not re.match(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is no duration; write e.g. {_DURATIONS}")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))


def format_duration(value: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads back, to the millisecond."""
    left = round(value.total_seconds() * 1000)
    if left <= 0:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_percent(text: str) -> float:
    """Return the share that `text` names, as a fraction: `10%` is 0.1.

    Raises: ValueError when the text is no percentage.
    """
    if not re.match(PERCENT_PATTERN, text):
        raise ValueError(f"{text!r} is no percentage; write e.g. 10%")
    return float(text[:-1]) / 100


def format_instant(value: datetime) -> str:
    """Return RFC 3339 text in UTC, with milliseconds only where there are any."""
    value = value.astimezone(UTC)
    text = value.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{value.microsecond // 1000:03d}Z" if value.microsecond >= 1000 else f"{text}Z"


def parse_instant(text: str) -> datetime:
    """Return the aware UTC instant that RFC 3339 `text` names. Raises: ValueError."""
    value = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if value.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write e.g. 2026-05-04T10:00:00Z")
    return value.astimezone(UTC)


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _percent(value: Any) -> Any:
    return parse_percent(value) if isinstance(value, str) else value


def _instant(value: Any) -> Any:
    return parse_instant(value) if isinstance(value, str) else value


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": DURATION_PATTERN,
            "minLength": 2,
            "maxLength": 32,
            **rules(rule(DURATION_RULE, f"a duration is written {_DURATIONS}")),
        }
    ),
]
"""A `timedelta` in code, text such as `10m` in a resource."""


def duration_default(text: str) -> Any:
    """Return the field of a Duration that is `text` where the user says nothing.

    The default is the value and not its text: one that stands in an object is otherwise taken for the user's word.
    """
    return Field(default=parse_duration(text), json_schema_extra={"default": text})


Percent = Annotated[
    float,
    BeforeValidator(_percent),
    PlainSerializer(lambda value: f"{round(value * 100, 6):g}%", return_type=str),
    WithJsonSchema({"type": "string", "pattern": PERCENT_PATTERN, "maxLength": 16}),
]
"""A fraction in code (0.1), text such as `10%` in a resource."""

Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    PlainSerializer(format_instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware UTC `datetime` in code, RFC 3339 text in a resource."""

_NUMBER = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
QUANTITY_PATTERN = rf"^\+?({_NUMBER})(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]{{1,2}}))?$"
"""As Kubernetes writes it in its own CRDs, without what no pod would ever get: less than nothing, and an exponent with
a point."""

Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
            "minimum": 0,
        }
    ),
]
"""A Kubernetes quantity such as `500m`, `2Gi` or `1`; a fraction is text, as decision 013 says."""

_SCALES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0}
_SCALES |= {unit: 10.0 ** (3 * power) for power, unit in enumerate("kMGTPE", start=1)}
_SCALES |= {f"{unit}i": 2.0 ** (10 * power) for power, unit in enumerate("KMGTPE", start=1)}
_QUANTITY = re.compile(r"\+?([0-9.]+(?:[eE][+-]?[0-9]{1,2})?)([a-zA-Z]*)")


def parse_quantity(value: int | str) -> float:
    """Return a Kubernetes quantity as a number.

    Raises: ValueError for text that is none.

    >>> parse_quantity("500m"), parse_quantity("2Gi"), parse_quantity(1), parse_quantity("1e3")
    (0.5, 2147483648.0, 1.0, 1000.0)
    """
    found = _QUANTITY.fullmatch(str(value))
    if found is None or found[2] not in _SCALES:
        raise ValueError(f"{value!r} is no quantity; write e.g. 500m, 2Gi or 1")
    return float(found[1]) * _SCALES[found[2]]


FreeForm = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
"""A mapping that the API server passes on as it is: its keys belong to somebody else's library."""
