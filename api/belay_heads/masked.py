"""`masked-logits`, `masked-multi-categorical`: choices among those actions that a mask allows.

The mask is not the network's matter: `allowed` takes it into the outputs, and from there on each head is the one
without a mask, of the distribution that is left. So a propensity is that of the masked distribution, and of an action
that was not allowed it is 0.

Source: Huang, Ontañón, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms", FLAIRS 2022,
    doi:10.32473/flairs.v35i.130584; minus infinity in the place of their large negative number.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_api.spaces import Space
from belay_heads.categorical import Categorical
from belay_heads.multi_categorical import MultiCategorical


class MaskedCategorical(Categorical):
    """See `Head`."""

    output = "masked-logits"

    def __init__(self, action: Space) -> None:
        super().__init__(action)
        self.masks = (self.width,)


class MaskedMultiCategorical(MultiCategorical):
    """See `Head`."""

    output = "masked-multi-categorical"

    def __init__(self, action: Space) -> None:
        super().__init__(action)
        self.masks = self._choices.sizes


def allowed(outputs: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
    """Return the outputs (batch, width) with minus infinity for every action that its mask (batch, width) forbids."""
    return np.where(masks, outputs, np.array(-np.inf, outputs.dtype))


def first_without_choice(mask: NDArray[np.bool_], sizes: tuple[int, ...]) -> int | None:
    """Return the first choice of which a mask (width,) allows nothing; None: there is none.

    Args:
        sizes: The head's `masks`.
    """
    parts = np.split(mask, np.cumsum(sizes)[:-1])
    return next((place for place, part in enumerate(parts) if not part.any()), None)
