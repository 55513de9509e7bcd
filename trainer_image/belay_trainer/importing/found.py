"""What every reader is given and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from belay_api.artifact import ArtifactInvalid, Imported, NormaliserConstants
from belay_api.spaces import ArraySpace, Space
from belay_heads import HEADS, Head, head_of
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import Policy
from belay_trainer.export import Network


@dataclass(frozen=True, slots=True)
class Source:
    """A file that holds a policy."""

    path: Path  # where its bytes lie
    name: str  # for people and for the manifest
    sha256: str  # hex; of the file that was given


@dataclass(frozen=True, slots=True)
class Declared:
    """What the user says of the policy; None: nothing."""

    observation: gymnasium.Space[Any] | None = None
    action: gymnasium.Space[Any] | None = None
    output: str | None = None  # as in the manifest
    statistics: Path | None = None  # a pickled VecNormalize
    onnx_output: str | None = None  # which of several outputs is meant
    trust: bool = False  # code in the file may run


@dataclass(frozen=True, slots=True)
class Found:
    """A policy as it was found."""

    imported: Imported
    observation: Space
    action: ArraySpace
    output: str  # as in the manifest
    policy: Policy  # acts as what was found does; takes raw observations
    write: Callable[
        [Path], None
    ]  # writes policy.onnx, policy.pt or both into a folder, and training.zip if there is one
    algorithm: str | None = None
    normaliser: NormaliserConstants | None = None
    state: tuple[int, ...] | None = None  # shape of what it remembers between decisions; None: nothing
    value: torch.nn.Module | None = None  # raw observations to the expected discounted return (batch,); None: unknown


class Answers:
    """A policy by what its network answers."""

    def __init__(self, head: Head, network: Network) -> None:
        self._head, self._network = head, network

    def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, object]:
        """Return the greedy action per observation."""
        del deterministic
        return self._head.greedy(self._network(observation).reshape(len(observation), self._head.width)), None


def require_trust(declared: Declared, name: str, what: str) -> None:
    """Check that the user lets code run. Raises: BadConfiguration."""
    if not declared.trust:
        raise BadConfiguration(
            f"{name} {what}. Nothing in it was run. If you trust who wrote it, give --trust; if you are not sure, "
            "do so in a container without network and credentials."
        )


def require_space(space: gymnasium.Space[Any] | None, flag: str, name: str) -> gymnasium.Space[Any]:
    """Return a space that the file cannot tell. Raises: BadConfiguration."""
    if space is None:
        raise BadConfiguration(
            f"{flag} is not set, and {name} does not tell it: give --environment, or {flag} as e.g. box:4, "
            "box:1:-2:2 or discrete:2."
        )
    return space


def fit(output: str | None, action: Space, *, width: int, name: str) -> Head:
    """Return the head that reads a network's outputs.

    Args:
        output: As the user named it; None: not at all.
        width: Outputs per observation.
    Raises: BadConfiguration; it lists the heads that would fit.
    """
    fitting = [one for one in HEADS if _width(one, action) == width]
    choices = f"With {width} outputs and actions {action}, " + (
        f"it can be {' or '.join(fitting)}" if fitting else f"none of {', '.join(HEADS)} fits: check --action-space"
    )
    if output is None:
        raise BadConfiguration(f"--head is not set, and {name} does not tell what its outputs mean. {choices}.")
    if output not in HEADS:
        raise BadConfiguration(f"--head {output} is not known. {choices}.")
    try:
        head = head_of(output, action)
    except ArtifactInvalid as error:
        raise BadConfiguration(f"--head {output}: {error}. {choices}.") from error
    if head.width != width:
        raise BadConfiguration(f"--head {output} reads {head.width} outputs for actions {action}. {choices}.")
    return head


def _width(output: str, action: Space) -> int | None:
    try:
        return head_of(output, action).width
    except ArtifactInvalid:
        return None
