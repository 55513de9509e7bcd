"""Adversarial training: `spec.adversary` of an RLTrainingJob."""

from typing import Annotated

from pydantic import Field

from belay_api.gates import StdShare
from belay_api.model import Model

UNATTACKED = ("custom", "maskablePPO", "recurrentPPO")
"""Algorithms that cannot be attacked: nothing is known of a user's network, and there is no attack on actions under
masks, or on what a policy remembers."""
RULE = " && ".join(f"!has(self.algorithm.{name})" for name in UNATTACKED)


class AdversarySpec(Model):
    """An attack changes observations that the policy is trained on, in the direction that hurts the policy as it is
    then. Evaluations that choose a checkpoint are played under it, `return` and gates without."""

    epsilon: StdShare = 0.05
    """Largest change of each number of an observation, in its standard deviations over the training so far; unset:
    0.05."""
    steps: Annotated[int, Field(ge=1, le=100)] = 1
    """Steps along the gradient, as in the gate `worstCase`: 1 is the fast gradient sign method, more are projected
    gradient descent; unset: 1."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the observations that is attacked, each drawn by itself; the others are shown as they are. Unset:
    0.5."""
