"""`shadowThenCanary`: mirrored requests first, whose answers nobody hears; then as `canary`."""

from belay_api.rollout.recipes.canary import CanaryRecipe
from belay_api.rollout.steps import Step
from belay_api.rollout.steps.shadow import ShadowStep


class ShadowThenCanaryRecipe(CanaryRecipe):
    """A step `shadow`, then at each weight the verdict: `setWeight`, `pause` where asked for, `analyze`."""

    shadow: ShadowStep = ShadowStep()
    """What is mirrored, for how long, and how far the two may lie apart."""

    def steps(self) -> list[Step]:
        """Return the steps."""
        return [Step(shadow=self.shadow), *super().steps()]
