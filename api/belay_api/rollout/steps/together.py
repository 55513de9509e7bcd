"""`together`: wait for the candidates of other rollouts, which change with this one."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from belay_api.model import Model, rule, rules
from belay_api.rollout.common import Name
from belay_api.rollout.steps.approve import OnTimeout
from belay_api.units import Duration

MOST = 8


class OnRollback(StrEnum):
    """What happens where another rollout's candidate was taken back."""

    HOLD = "Hold"
    """The candidate keeps its weight, and waits for the other's next one."""
    ROLLBACK = "Rollback"
    """The candidate is taken back as well. It says nothing against it: it comes again once the other has another."""


class TogetherStep(Model):
    """Wait until the rollouts named in `with` are as far, for what changes in several services at once: each waits at
    its own step `together` that names this one, or is past it. One without anything to roll out is not waited for.
    Guard rails and Fail hold meanwhile. It makes them begin what follows together; what happens to one afterwards is
    no news to the others until their next such step."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.onTimeout) || has(self.timeout)",
                "together.onTimeout says what follows the timeout, and there is none: add together.timeout, such as "
                "2h, or remove onTimeout to wait for as long as it takes",
            ),
            rule(
                "!has(self.timeout) || self.timeout.matches('[1-9]')",
                "together.timeout is nothing, so nobody could be waited for: write e.g. 2h, or remove it to wait for "
                "as long as it takes",
            ),
        )
    }

    with_: Annotated[
        list[Name],
        Field(alias="with", min_length=1, max_length=MOST, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """RLRollouts of this namespace; each has as many steps `together` that name this one."""
    on_rollback: OnRollback = OnRollback.ROLLBACK
    """What to do where one of them has taken its candidate back. Unset: Rollback."""
    timeout: Duration | None = None
    """How long to wait. Unset: as long as it takes."""
    on_timeout: OnTimeout | None = None
    """What follows then. Unset: Rollback."""
