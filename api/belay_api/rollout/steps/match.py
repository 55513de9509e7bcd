"""`match`: who sends these headers meets the candidate first."""

from typing import Annotated

from pydantic import Field

from belay_api.model import Model, rule, rules


class HeaderMatch(Model):
    """A header that a request must have."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!self.name.lowerAscii().startsWith('x-belay-') && self.name.lowerAscii() != 'host'",
                "match.headers names a header that says nothing of a user: x-belay-… are Belay's own, and for a host "
                "name there is traffic.gatewayAPI.hostnames. Name one that your gateway sets, such as x-user-group",
            )
        )
    }

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
    """Its name; upper and lower case are the same."""
    value: Annotated[str, Field(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=256)]
    """Its whole value, as it is written."""


Headers = Annotated[
    list[HeaderMatch],
    Field(
        min_length=1,
        max_length=8,
        json_schema_extra=rules(
            rule(
                "self.all(one, self.exists_one(other, other.name.lowerAscii() == one.name.lowerAscii()))",
                "match.headers names a header twice, and a request must have all that are listed: name each once",
            )
        ),
    ),
]


class MatchStep(Model):
    """New episodes of requests with these headers go to the candidate, in this share; everybody else stays with stable,
    until the first `setWeight`. Who sends them keeps this share until a weight is as high.

    A header is whatever the caller says, unless a gateway of yours sets it. Until the first `setWeight` only episodes
    of the matched are compared, after it only those of all others: each time the two sides are drawn by chance among
    the same users."""

    headers: Headers
    """A request has all of them."""
    weight: Annotated[int, Field(ge=1, le=100)] = 100
    """Percent of their new episodes. At 100 stable has none of them, and there is nothing to compare: `analyze` needs
    less. Unset: 100."""
