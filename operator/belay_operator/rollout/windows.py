"""Whether one of `spec.windows` is open, and when the next one opens.

A window is open exactly while the clocks of its zone show a time in it. So nothing need be said of the two days a year
on which clocks are set: a time that they skip opens nothing, and a window whose beginning is skipped opens when they
have jumped over it. A time that they show twice is in the window both times.

The zone database is data like a table of constants: that of the system, else of the package `tzdata`.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from belay_api.rollout.windows import DAYS, Window

HORIZON = timedelta(days=21)  # a window of one day a week may miss that day to a jump of the clocks, not three times


def zone_of(window: Window) -> ZoneInfo:
    """Return its time zone. Raises: ValueError for a name that nobody knows; write e.g. Europe/Berlin."""
    return _zone(window.time_zone)


def is_open(windows: Iterable[Window], now: datetime) -> bool:
    """Whether one of them is open."""
    return any(_shows(window, now) for window in windows)


def next_opening(windows: Iterable[Window], now: datetime) -> datetime | None:
    """Return the first instant after `now` at which one of them is open; None: none in the next weeks.

    Args:
        windows: All of them closed now.
    """
    found = [at for window in windows if (at := _opening(window, now)) is not None]
    return min(found) if found else None


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # not found; a folder of zones; no name at all
        raise ValueError(f"{name!r} is no time zone; write a name such as Europe/Berlin or UTC") from error


def _shows(window: Window, at: datetime) -> bool:
    local = at.astimezone(zone_of(window))
    minute, begins, ends = local.hour * 60 + local.minute, _minute(window.from_), _minute(window.to)
    today, yesterday = local.date(), local.date() - timedelta(days=1)
    if begins < ends:
        return begins <= minute < ends and _on(window, today)
    return (minute >= begins and _on(window, today)) or (minute < ends and _on(window, yesterday))


def _opening(window: Window, now: datetime) -> datetime | None:
    """The clocks come into a window by reaching its beginning, or by a jump."""
    at = {*_beginnings(window, now), *_jumps(zone_of(window), now)}
    return next((one for one in sorted(at) if one > now and _shows(window, one)), None)


def _beginnings(window: Window, now: datetime) -> Iterator[datetime]:
    """Each instant at which clocks show its `from`: none, one or two a day."""
    zone, begins = zone_of(window), time.fromisoformat(window.from_)
    first = now.astimezone(zone).date()
    for day in range(HORIZON.days):
        for fold in (0, 1):
            wall = datetime.combine(first + timedelta(days=day), begins).replace(fold=fold)
            at = wall.replace(tzinfo=zone).astimezone(UTC)
            if at.astimezone(zone).replace(tzinfo=None, fold=fold) == wall:
                yield at


def _jumps(zone: ZoneInfo, now: datetime) -> Iterator[datetime]:
    """Each instant at which clocks are set, to the second."""
    start = int(now.timestamp())
    for day in range(HORIZON.days):
        before, after = start + day * 86_400, start + (day + 1) * 86_400
        if _offset(zone, before) == _offset(zone, after):
            continue
        while after - before > 1:
            middle = (before + after) // 2
            if _offset(zone, middle) == _offset(zone, before):
                before = middle
            else:
                after = middle
        yield datetime.fromtimestamp(after, UTC)


def _offset(zone: ZoneInfo, at: int) -> timedelta | None:
    return datetime.fromtimestamp(at, zone).utcoffset()


def _on(window: Window, day: date) -> bool:
    """Whether it begins on that day."""
    return window.days is None or any(day.weekday() in _days(text) for text in window.days)


def _days(text: str) -> set[int]:
    """`Mon-Thu` is 0 to 3, and `Sat-Mon` is 5, 6 and 0."""
    first, _, last = text.partition("-")
    begins, ends = DAYS.index(first), DAYS.index(last or first)
    return {(begins + step) % 7 for step in range((ends - begins) % 7 + 1)}


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
