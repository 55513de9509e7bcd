"""What a recipe is."""

from abc import abstractmethod
from typing import ClassVar

from belay_api.model import Model
from belay_api.rollout.steps import Step


class RecipeModel(Model):
    """A few knobs that stand for a list of steps."""

    judges: ClassVar[bool] = True
    """Whether its steps ask for a verdict, and so for a metric that decides."""

    @abstractmethod
    def steps(self) -> list[Step]:
        """Return the steps as a person would write them; after the last the candidate has all traffic."""
