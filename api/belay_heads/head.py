"""What a network's outputs mean: the action they name, how one is drawn, and how likely a drawn one was.

Training measures and exports a policy through the same head that serving acts with, so what was measured is what is
served, and a propensity means the same on both sides. A head knows numbers only: no network, no library, no state.

A new kind of output is a file beside this one, an entry in HEADS, and its name in `belay_api.artifact.Output`.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.artifact import ArtifactInvalid
from belay_api.spaces import Space
from belay_heads.bernoulli import Bernoulli
from belay_heads.categorical import Categorical
from belay_heads.choice import Choice
from belay_heads.gaussian import Gaussian
from belay_heads.masked import MaskedCategorical, MaskedMultiCategorical
from belay_heads.mean import Mean
from belay_heads.multi_categorical import MultiCategorical
from belay_heads.q_values import QValues
from belay_heads.squashed import SquashedGaussian


class Head(Protocol):
    """From outputs to actions, for one action space.

    Outputs are (batch, width); one that is not finite is the caller's matter, here it spoils its own row only. Actions
    are new arrays in the units of the space: (batch,) whole numbers from `start` on for a discrete one, (batch, *shape)
    for any other, in its dtype.
    """

    output: str
    """Name in the manifest."""
    stochastic: bool
    """False: the policy has one action for an observation, and `sample` returns it."""
    masks: tuple[int, ...]
    """What a mask says of each observation, which outputs may be chosen: how many of them each choice has, in their
    order; empty: it takes none. Else whoever asks it puts the mask into the outputs, see `masked.allowed`."""
    width: int
    """Outputs per observation."""

    def greedy(self, outputs: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """Return the policy's best actions; with `gaussian` and `squashed-gaussian`, those of a vanishing spread."""

    def sample(self, outputs: NDArray[np.floating[Any]], generator: np.random.Generator) -> NDArray[Any]:
        """Return one drawn action per row; outputs too large to be multiplied may give one that is not finite."""

    def log_propensity(self, outputs: NDArray[np.floating[Any]], actions: ArrayLike) -> NDArray[np.float64]:
        """Return (batch,): how likely `sample` is to return these actions; -inf where it never does.

        A log probability for discrete actions, a log density in the units of the space for continuous ones. Bounds have
        a probability, for many draws end there (decision 030), and so has the one action of a policy that is not
        stochastic. Under all stochastic heads it is the same actions that have one, so ratios of two of them hold.
        """


HEADS: dict[str, Callable[[Space], Head]] = {
    Categorical.output: Categorical,
    QValues.output: QValues,
    Choice.output: Choice,
    Mean.output: Mean,
    Gaussian.output: Gaussian,
    SquashedGaussian.output: SquashedGaussian,
    MultiCategorical.output: MultiCategorical,
    Bernoulli.output: Bernoulli,
    MaskedCategorical.output: MaskedCategorical,
    MaskedMultiCategorical.output: MaskedMultiCategorical,
}
"""By name in the manifest."""


def head_of(output: str, action: Space) -> Head:
    """Return the head for a manifest's output and action space.

    Raises: ArtifactInvalid when there is no such output, or it cannot name actions of that space.
    """
    if output not in HEADS:
        raise ArtifactInvalid(f"the manifest's output is {output!r}: known are {', '.join(HEADS)}")
    return HEADS[output](action)
