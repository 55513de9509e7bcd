"""Ready-made lists of steps: one file each, and a field here.

A recipe is a model of a few knobs and a pure function `steps()`: what a person would have written instead. A file knows
the steps and no other recipe but one that it continues.
"""

from typing import get_args

from belay_api.model import Model, chosen, exactly_one
from belay_api.rollout.recipes.blue_green import BlueGreenRecipe
from belay_api.rollout.recipes.canary import CanaryRecipe
from belay_api.rollout.recipes.recipe import RecipeModel
from belay_api.rollout.recipes.shadow_then_canary import ShadowThenCanaryRecipe
from belay_api.rollout.steps import Step


@exactly_one("spec.recipe", "choose one, and write spec.steps where none fits")
class Recipe(Model):
    """A ready-made list of steps; `status.progression` shows the steps. Exactly one of its fields is set."""

    canary: CanaryRecipe | None = None
    """A weight, then the verdict at it, then the next weight: 5, 25 and 50 percent, then all traffic."""
    shadow_then_canary: ShadowThenCanaryRecipe | None = None
    """The same after a step `shadow`, in which the candidate answers nobody."""
    blue_green: BlueGreenRecipe | None = None
    """Nobody meets the candidate but by the preview address; then it has all traffic at once."""

    @property
    def kind(self) -> str:
        """The recipe's name: the one field that is set."""
        return chosen(self)

    def steps(self) -> list[Step]:
        """Return the steps that it stands for."""
        told: list[RecipeModel | None] = [getattr(self, name) for name in type(self).model_fields]
        return [step for recipe in told if recipe is not None for step in recipe.steps()]

    @classmethod
    def judging(cls) -> list[str]:
        """Return the recipes, as a resource spells them, that ask for a verdict."""
        models = {field.alias or name: get_args(field.annotation)[0] for name, field in cls.model_fields.items()}
        return [name for name, model in models.items() if model.judges]
