"""`blueGreen`: the candidate has all its pods and a preview address beside stable; then all traffic at once."""

from typing import ClassVar

from belay_api.model import rule, rules
from belay_api.rollout.recipes.recipe import RecipeModel
from belay_api.rollout.steps import Step
from belay_api.rollout.steps.approve import ApproveStep
from belay_api.rollout.steps.pause import PauseStep
from belay_api.units import Duration


class BlueGreenRecipe(RecipeModel):
    """`pause` where asked for, `approve` where asked for; then all traffic. Until then only the address of
    `traffic.gatewayAPI.preview` leads to the candidate."""

    judges: ClassVar[bool] = False
    model_config = {
        "json_schema_extra": rules(
            rule(
                "has(self.approve) || has(self.pause)",
                "blueGreen without approve and pause gives the candidate all traffic before anybody has looked at it: "
                "write approve: {}, or a pause, e.g. 30m",
            )
        )
    }

    pause: Duration | None = None
    """How long at least it can be looked at. Unset: no time is set."""
    approve: ApproveStep | None = None
    """Ask a person. Unset: nobody is asked, and it goes on by itself."""

    def steps(self) -> list[Step]:
        """Return the steps."""
        made = [] if self.pause is None else [Step(pause=PauseStep(duration=self.pause))]
        return made if self.approve is None else [*made, Step(approve=self.approve)]
