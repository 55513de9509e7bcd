"""`canary`: more and more traffic, and a verdict at each weight."""

from typing import Annotated

from pydantic import Field

from belay_api.model import rule, rules
from belay_api.rollout.recipes.recipe import RecipeModel
from belay_api.rollout.steps import Step
from belay_api.rollout.steps.analyze import AnalyzeStep
from belay_api.rollout.steps.approve import ApproveStep
from belay_api.rollout.steps.pause import PauseStep
from belay_api.units import Duration

Weight = Annotated[int, Field(ge=1, le=99)]


class CanaryRecipe(RecipeModel):
    """At each weight the verdict is waited for: `setWeight`, `pause` where asked for, `analyze`."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.weights) || (self.weights.isSorted()"
                " && self.weights.all(w, self.weights.exists_one(other, other == w)))",
                "the weights of a recipe rise, each above the one before: write e.g. [5, 25, 50]; all traffic follows "
                "by itself",
            )
        )
    }

    weights: Annotated[list[Weight], Field(min_length=1, max_length=8)] = [5, 25, 50]
    """Percent of new episodes, one after the other; all traffic follows by itself."""
    pause: Duration | None = None
    """How long at least the candidate stays at each weight. Unset: until its verdict."""
    timeout: Duration | None = None
    """How long a verdict may stay away at each weight, instead of `analysis.onNotEnoughSamples.after`."""
    approve: ApproveStep | None = None
    """Ask a person after the last weight, before it has all traffic. Unset: nobody is asked."""

    def steps(self) -> list[Step]:
        """Return the steps."""
        made: list[Step] = []
        for weight in self.weights:
            made.append(Step(set_weight=weight))
            if self.pause is not None:
                made.append(Step(pause=PauseStep(duration=self.pause)))
            made.append(Step(analyze=AnalyzeStep(timeout=self.timeout)))
        return made if self.approve is None else [*made, Step(approve=self.approve)]
