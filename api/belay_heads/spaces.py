"""The manifest's action space as heads need it: checked against the output, and as arrays."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.artifact import ArtifactInvalid
from belay_api.spaces import BoxSpace, DiscreteSpace, MultiBinarySpace, MultiDiscreteSpace, Space


def discrete(action: Space, *, output: str) -> DiscreteSpace:
    """Return the action space of a head that chooses. Raises: ArtifactInvalid for any other."""
    if not isinstance(action, DiscreteSpace):
        raise _misfit(action, output, wanted="a discrete one")
    return action


def switches(action: Space, *, output: str) -> MultiBinarySpace:
    """Return the action space of a head that switches. Raises: ArtifactInvalid for any other."""
    if not isinstance(action, MultiBinarySpace):
        raise _misfit(action, output, wanted="a multi-binary one")
    return action


class Choices:
    """Several choices at once, row by row: (batch, choice) inside a head, (batch, *shape) outside.

    Switches are choices of two: policies that act under masks have logits for both.
    """

    def __init__(self, action: Space, *, output: str) -> None:
        """Raises: ArtifactInvalid for a space of another kind, or one without choices."""
        self._shape: tuple[int, ...]
        self._dtype: np.dtype[Any]
        if isinstance(action, MultiDiscreteSpace):
            self.sizes, self.starts, self._shape = tuple(action.nvec), tuple(action.start), (len(action.nvec),)
            self._dtype = np.dtype(np.intp)
        elif isinstance(action, MultiBinarySpace):
            switches = math.prod(action.shape)
            self.sizes, self.starts, self._shape = (2,) * switches, (0,) * switches, tuple(action.shape)
            self._dtype = np.dtype(np.int8)
        else:
            raise _misfit(action, output, wanted="a multi-discrete or multi-binary one")
        if not self.sizes or min(self.sizes) < 1 or len(self.starts) != len(self.sizes):
            raise ArtifactInvalid(f"the manifest's action space {action} has a choice of nothing, or a start too few")

    def actions(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return (batch, *shape) in the space's dtype."""
        return rows.astype(self._dtype, copy=False).reshape(-1, *self._shape)

    def rows(self, actions: ArrayLike) -> NDArray[Any]:
        """Return (batch, choice)."""
        return np.asarray(actions).reshape(-1, len(self.sizes))


class Box:
    """A box of actions, row by row: (batch, size) inside a head, (batch, *shape) outside."""

    def __init__(self, action: Space, *, output: str) -> None:
        """Raises: ArtifactInvalid for a space that is no box, or one that contradicts itself."""
        if not isinstance(action, BoxSpace):
            raise _misfit(action, output, wanted="a box")
        self.size = math.prod(action.shape)
        if not len(action.low) == len(action.high) == self.size:
            raise ArtifactInvalid(
                f"the manifest's action space {action} has {len(action.low)} lower and {len(action.high)} upper bounds "
                f"where its shape needs {self.size}: publish it with as many"
            )
        try:
            dtype = np.dtype(action.dtype)
        except TypeError as error:
            raise ArtifactInvalid(
                f"the manifest's action space has dtype {action.dtype!r}: no number of numpy"
            ) from error
        # A network answers fractions, and a box of whole numbers was acted on in fractions while it was trained.
        self.dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
        self._shape = tuple(action.shape)
        self._low = np.array([-np.inf if bound is None else bound for bound in action.low], dtype=self.dtype)
        self._high = np.array([np.inf if bound is None else bound for bound in action.high], dtype=self.dtype)
        if (self._low > self._high).any():
            raise ArtifactInvalid(f"the manifest's action space {action} has lower bounds above its upper bounds")
        self.low: NDArray[np.float64] = self._low.astype(np.float64)  # (size,); -inf: unbounded
        self.high: NDArray[np.float64] = self._high.astype(np.float64)  # (size,); inf: unbounded

    def actions(self, rows: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """Return (batch, *shape) in the space's dtype, clipped to its bounds."""
        clipped: NDArray[Any] = np.clip(rows, self._low, self._high)
        return clipped.astype(self.dtype, copy=False).reshape(-1, *self._shape)

    def rows(self, actions: ArrayLike) -> NDArray[np.float64]:
        """Return (batch, size) of what `actions` are as numbers of the space's dtype."""
        return np.asarray(actions).astype(self.dtype).reshape(-1, self.size).astype(np.float64)


def _misfit(action: Space, output: str, *, wanted: str) -> ArtifactInvalid:
    return ArtifactInvalid(f"the manifest's output is {output} for a {action.kind} action space: {wanted} is needed")
