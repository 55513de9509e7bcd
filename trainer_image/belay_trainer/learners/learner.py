"""What the training loop asks of whatever learns.

The loop decides when to evaluate, to save and to go; a learner gathers experience and learns from it, or learns from
what was logged: then there is no collection, and its timesteps are gradient steps. One file per algorithm, each behind
this protocol. What a learner hands out as its state is pickled part by part, so no two parts may
share an object.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from belay_api.artifact import NormaliserConstants
from belay_trainer.diagnosis.recorder import Recorder
from belay_trainer.environments import Environment
from belay_trainer.evaluate import Policy
from belay_trainer.offline.from_dataset import FromDataset


@dataclass(frozen=True, slots=True)
class Networks:
    """What an artifact serves: networks that take raw observations (batch, *observation), on the CPU.

    The actor of a policy that remembers takes (batch, *state) beside them, and answers the next one beside its output.

    Observations are arrays here and everywhere outside of the libraries, see `belay_heads.observations`.
    """

    actor: torch.nn.Module  # -> what the head named `output` reads
    output: str  # as in the manifest
    value: torch.nn.Module | None  # -> expected discounted return (batch,); None: it has no critic
    normaliser: NormaliserConstants | None  # what both networks do to observations first; None: nothing
    state: tuple[int, ...] | None = None  # shape of what is remembered between decisions; None: nothing is


@dataclass(frozen=True, slots=True)
class Internals:
    """What the diagnosis reads of a learner."""

    gradient_steps: int  # so far
    weights: np.ndarray  # all, flat
    rewards: tuple[float, float]  # lowest and highest of all finished episodes, the environment's own
    bonus: float = 0.0  # the most that its critic gives a timestep beyond its reward, such as for entropy
    exploration: float | None = None  # share of actions that are random now; None: it explores by other means


@dataclass(frozen=True, slots=True)
class Start:
    """What was read of a policy that a training is to begin with: tensors and numbers, from whoever made it."""

    title: str  # what sentences call it
    algorithm: str | None  # as its manifest says; None: it does not
    normaliser: NormaliserConstants | None  # by which its networks scale observations; None: they do not
    observations: int  # that the normaliser has seen, about
    networks: dict[str, dict[str, torch.Tensor]]  # state_dicts by name, such as `policy`
    variables: dict[str, torch.Tensor]  # trained tensors that are part of no network
    statistics: dict[str, dict[str, Any]] | None  # as `training.zip` has them; None: it has none


class Learner(Protocol):
    """One seed's training in some library."""

    algorithm: str
    """As the spec names it."""
    preset: str | None
    """Of which environment its preset is; None: it has none."""
    packages: tuple[str, ...]
    """Distributions that decide what it learns, for the artifact's lineage."""
    discount: float
    """Of rewards, per timestep."""
    from_dataset: FromDataset | None
    """What it has more where it learns from a dataset; None: it learns in an environment."""
    adversary: Callable[[Policy], Policy] | None
    """Returns a policy behind the attack that it trains beside, as strong as it is now; None: it trains beside none."""
    recorder: Recorder | None
    """Told of steps and updates while it has room; None: nobody wants to know."""

    @property
    def timesteps(self) -> int:
        """Timesteps done."""

    @property
    def policy(self) -> Policy:
        """The policy as it is now; takes raw observations."""

    def start(self) -> None:
        """Reset the environments: afterwards it can be restored, or advance."""

    def advance(self, until: int, *, leave: Callable[[], bool], on_step: Callable[[], None]) -> None:
        """Collect experience and learn from it until there are at least `until` timesteps.

        Args:
            until: It ends after the first update from there on.
            leave: Asked before each collection; True ends it there.
            on_step: Called after each step of the vector. What it raises ends the collection, whose experience is lost.
        Raises: Diverged when a loss, a weight or an observation is not a number; whatever the environment raises.
        """

    def episodes(self) -> int:
        """Return how many of the latest collected episodes are remembered; 0: none has ended yet."""

    def metrics(self) -> dict[str, float]:
        """Return the newest figures by name, finite or not."""

    def internals(self) -> Internals:
        """Return what the diagnosis reads, as it is now."""

    def values(self, observations: np.ndarray) -> np.ndarray | None:
        """Return the discounted return that the critic expects, (observation,), in the environment's own rewards.

        Args:
            observations: Raw ones, (observation, *shape).
        Returns: None where there is no critic of single observations, or it learns from other rewards.
        """

    def finite(self) -> bool:
        """Return whether every weight is a number."""

    def state(self, *, collecting_since: int | None = None) -> dict[str, Any]:
        """Return by part what a resumed training needs, the environments apart: `weights`, `counters` and the like.

        Args:
            collecting_since: Timestep at which the collection under way began: its experience is dropped. None: it
                stands before one.
        """

    def collection(self) -> Any:
        """Return the environments and what hangs on them, in the middle of their episodes."""

    def restore(self, state: dict[str, Any], collection: Any | None) -> None:
        """Take up what `state` and `collection` returned, after `start`. Without a collection new episodes begin."""

    def begin_from(self, start: Start) -> None:
        """Take the weights of a policy, after `start`: all of them where it is of the same algorithm, the policy's own
        network where that has the same parameters. Optimisers begin anew.

        Raises: BadConfiguration naming what does not fit.
        """

    def weights(self) -> dict[str, Any]:
        """Return a copy of what the policy is: every weight, optimiser and running statistic, and its timestep."""

    def take(self, weights: dict[str, Any]) -> None:
        """Put back what `weights` returned."""

    def weights_sha256(self) -> str:
        """Return one digest over all weights, target networks included: equal only when every bit is."""

    def networks(self) -> Networks:
        """Return copies of what is served."""

    def save(self, path: Path) -> None:
        """Write what the library itself goes on from. The same training gives the same bytes, whenever it ran."""


class LearnerClass(Protocol):
    """How a learner is made."""

    actions: frozenset[str]
    """Kinds of action spaces it learns for, as in the manifest: `discrete`, `box`, `multi-discrete`, `multi-binary`."""
    convolves: bool
    """Whether it has a convolutional network for images."""
    combines: bool
    """Whether it has a network for observations of several parts."""

    def __call__(self, run: Any, make: Callable[[], Environment], probe: Environment) -> Learner:
        """Return an untrained one. Raises: BadConfiguration."""
