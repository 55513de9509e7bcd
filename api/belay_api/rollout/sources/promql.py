"""What Belay itself understands of a PromQL query: the names in it that it fills in, and how far it looks back."""

import re
from collections.abc import Mapping
from datetime import timedelta

from belay_api.units import format_duration
from belay_api.words import did_you_mean

NAMES = ("version", "candidate", "stable", "namespace", "rollout", "interval")
"""What may stand in `{{ }}`."""

_NAME = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_TEXT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|(#[^\n]*)""")
_RANGE = re.compile(r"\[\s*([0-9a-z]+)\s*(:[^\]]*)?\]")
_PART = re.compile(r"([0-9]+)(ms|[smhdwy])")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def named(query: str) -> set[str]:
    """Return what stands in `{{ }}`."""
    return set(_NAME.findall(query))


def render(query: str, values: Mapping[str, str]) -> str:
    """Return the query with every name filled in. Raises: ValueError for one that nothing stands for.

    >>> render('up{job="{{version}}"}', {"version": "b"})
    'up{job="b"}'
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            raise ValueError(f"prometheus.query: nothing stands for {{{{{name}}}}}; {did_you_mean(name, values)}")
        return values[name]

    return _NAME.sub(value, query)


def reach(query: str) -> timedelta:
    """Return how far back of its own instant a query looks, by its ranges; an `offset` only moves that.

    A subquery repeats what stands within it over its own range, so that comes on top.

    >>> reach('sum(rate(x[1m])) / sum(rate(y{z="[9h]"}[2m]))'), reach('max_over_time(rate(x[1m])[5m:10s])')
    (datetime.timedelta(seconds=120), datetime.timedelta(seconds=360))
    """
    bare = _TEXT.sub("", query)
    ranges, subqueries = [0.0], 0.0
    for length, resolution in _RANGE.findall(bare):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(length))
        if resolution:
            subqueries += seconds
        else:
            ranges.append(seconds)
    return timedelta(seconds=max(ranges) + subqueries)


def written(length: timedelta) -> str:
    """Return a duration as PromQL and resources write it."""
    return format_duration(length)
