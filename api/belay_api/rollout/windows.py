"""When a candidate may get more traffic by itself."""

from typing import Annotated

from pydantic import Field

from belay_api.model import Model, rule, rules

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = f"({'|'.join(DAYS)})"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"
_ZONE = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"

Days = Annotated[str, Field(pattern=f"^{_DAY}(-{_DAY})?$", max_length=32)]


class Window(Model):
    """A time of some days. It is open while clocks of its zone show a time from `from` on and before `to`: an hour that
    they skip is not shown, and one that they show twice counts twice."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "self.from != self.to",
                "a window that ends when it begins is never open: write from and to apart, and for whole days from: "
                '"00:00" with to: "24:00"',
            ),
            rule(
                f"self.from.matches('^{_TIME}$') && self.to.matches('^({_TIME}|24:00)$')",
                'windows[].from and to are times of a day in quotes, such as "09:00" and "16:30"; the end of a day is '
                '"24:00"',
            ),
            rule(
                f"!has(self.days) || self.days.all(d, d.matches('^{_DAY}(-{_DAY})?$'))",
                "windows[].days are days or ranges of them, such as [Mon-Thu, Sat]; leave days out for every day",
            ),
            rule(
                # A zone that the API server does not know is an error of this call, told with the sentence.
                "timestamp('2026-01-01T00:00:00Z').getHours(self.timeZone) >= 0",
                "windows[].timeZone is a name of the time zone database, such as Europe/Berlin or UTC",
            ),
        )
    }

    days: Annotated[list[Days], Field(min_length=1, max_length=7)] | None = None
    """On which days it begins, such as `Mon`, or `Mon-Thu` for all from the first to the last. Unset: every day."""
    from_: Annotated[str, Field(alias="from", pattern=f"^{_TIME}$", max_length=16)]
    """Time of day from which it is open, such as `09:00`."""
    to: Annotated[str, Field(pattern=f"^({_TIME}|24:00)$", max_length=16)]
    """Time of day at which it closes; before `from`, it is that of the next day. `24:00` is the end of the day."""
    time_zone: Annotated[str, Field(pattern=_ZONE, max_length=64)]
    """Whose clocks count: a name of the time zone database, such as `Europe/Berlin` or `UTC`."""
