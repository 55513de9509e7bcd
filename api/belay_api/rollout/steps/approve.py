"""`approve`: wait for a person."""

from enum import StrEnum

from belay_api.model import Model, rule, rules
from belay_api.units import Duration


class OnTimeout(StrEnum):
    """What happens when nobody has approved in time. Never an approval."""

    HOLD = "Hold"
    """The candidate keeps its weight, and the step waits on."""
    ROLLBACK = "Rollback"
    """The candidate is taken back, and its digest is rejected until the command retry."""


class ApproveStep(Model):
    """Wait for the command `approve`, given while the step is under way: the candidate may go on from here.

    What is approved is this candidate's digest at this step. Guard rails and Fail hold meanwhile."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.onTimeout) || has(self.timeout)",
                "approve.onTimeout says what follows the timeout, and there is none: add approve.timeout, such as 24h, "
                "or remove onTimeout to wait for as long as it takes",
            ),
            rule(
                "!has(self.timeout) || self.timeout.matches('[1-9]')",
                "approve.timeout is nothing, so nobody could approve: write e.g. 24h, or remove it to wait for as long "
                "as it takes",
            ),
        )
    }

    timeout: Duration | None = None
    """How long to wait for it. Unset: as long as it takes."""
    on_timeout: OnTimeout | None = None
    """What follows then. Unset: Rollback."""
