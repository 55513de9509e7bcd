"""Conservative Q-learning."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import Mixing, Weight
from belay_api.algorithms.offline import OfflineSettings


class CQLSettings(OfflineSettings):
    """Conservative Q-learning, from a dataset, for discrete and continuous actions; unset: the preset's."""

    alpha: Weight | None = None
    """Weight of what pulls the values of actions that were not logged below those of actions that were; 0: nothing
    does."""
    tau: Mixing | None = None
    """How far the target networks move towards the trained ones at each gradient step."""
    n_actions: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Of continuous actions: how many are drawn for each logged one, from each of three distributions."""
    actor_learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Of continuous actions: step size of the policy's optimiser."""
