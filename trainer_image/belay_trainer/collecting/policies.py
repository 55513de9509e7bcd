"""Who plays: each answers an action, and how likely it is to take one: a probability or, for a box, a density.

A policy that has one action for an observation takes it with probability 1 (decision 030).
"""

import inspect
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import numpy as np

from belay_api.artifact import file_sha256
from belay_api.spaces import BoxSpace, DiscreteSpace, Space, space_model
from belay_api.words import nearest
from belay_heads.observations import dtype
from belay_trainer.collecting.collection import RANDOM, PolicySpec
from belay_trainer.errors import BadConfiguration
from belay_trainer.ope.artifact_policy import ArtifactPolicy
from belay_trainer.ope.head_policy import HeadPolicy
from belay_trainer.served import Artifact, NotFinite, ServedNetwork, read_artifact
from belay_trainer.wrapping.named import imported


class BehaviourPolicy(Protocol):
    """Acts, one observation at a time."""

    source: str
    """Digest of what it is, such as `sha256:...`; empty: its name says it all."""

    def begin(self) -> None:
        """Begin an episode: one that remembers forgets the one before."""

    def observe(self, observation: Any) -> None:
        """See an observation, once, before it is asked about it: one that remembers keeps what it needs of it."""

    def act(self, observation: Any, generator: np.random.Generator) -> Any:
        """Return an action in the form that the environment takes."""

    def propensity(self, observation: Any, action: Any) -> float:
        """Return how likely it is to take this action."""


def behaviour_of(spec: PolicySpec, environment: gymnasium.Env[Any, Any], *, field: str) -> BehaviourPolicy:
    """Return a policy of the mixture. Args: field: Of the collection, for messages. Raises: BadConfiguration."""
    action = space_model(environment.action_space)
    if not isinstance(action, DiscreteSpace | BoxSpace):
        raise BadConfiguration(f"environment.id: actions in {action} cannot be collected: wanted Discrete or Box.")
    found: BehaviourPolicy
    if spec.policy == RANDOM:
        found = Uniform(action, field)
    elif ":" in spec.policy:
        found = Controller(spec.policy, action, environment, field)
    else:
        found = _of_artifact(spec, environment, field)
    if spec.actions is not None and not isinstance(found, ArtifactBehaviour):
        raise BadConfiguration(f"{field}.actions is for artifacts, and {spec.policy} is none: leave it out.")
    if not spec.epsilon:
        return found
    if not isinstance(action, DiscreteSpace):
        raise BadConfiguration(
            f"{field}.epsilon: actions are {action}; a density and a probability cannot be mixed. Take one that draws "
            f"its actions (`actions: sampled`), or another policy `{RANDOM}` with a weight, beside such a one."
        )
    return Exploring(found, spec.epsilon, action.n)


class Uniform(BehaviourPolicy):
    """Every action as likely."""

    source = ""

    def __init__(self, action: Space, field: str) -> None:
        self._action = action
        if isinstance(action, DiscreteSpace):
            self._propensity = 1 / action.n
            return
        if None in (*action.low, *action.high) or np.dtype(action.dtype).kind != "f":
            raise BadConfiguration(
                f"{field}: nothing has a uniform density over {action} without bounds, or of whole numbers: put a "
                "wrapper around the environment that has bounds, or take another policy."
            )
        self._low, self._high = (np.array(end, np.float64).reshape(action.shape) for end in (action.low, action.high))
        size = float(np.prod(self._high - self._low))
        if not 0 < size < np.inf:
            raise BadConfiguration(
                f"{field}: a uniform density over {action} would be no number, for the product of its ranges is "
                f"{size:g}: leave out numbers of an action that cannot vary, or bound them more narrowly, in a wrapper."
            )
        self._propensity = 1 / size

    def act(self, observation: Any, generator: np.random.Generator) -> Any:
        """See `BehaviourPolicy`."""
        if isinstance(self._action, DiscreteSpace):
            return int(generator.integers(self._action.n))
        return generator.uniform(self._low, self._high).astype(self._action.dtype)

    def propensity(self, observation: Any, action: Any) -> float:
        """See `BehaviourPolicy`."""
        return self._propensity


class ArtifactBehaviour(BehaviourPolicy):
    """The policy in an artifact, as it would be served."""

    def __init__(self, artifact: Artifact, policy: HeadPolicy) -> None:
        manifest = artifact.manifest
        self.source = artifact.digest
        self._policy = policy
        self._discrete = isinstance(manifest.action, DiscreteSpace)
        self._dtype = dtype(manifest.observation)

    def act(self, observation: Any, generator: np.random.Generator) -> Any:
        """See `BehaviourPolicy`."""
        action = self._policy.sample(self._batch(observation), generator)[0]
        return int(action) if self._discrete else action

    def propensity(self, observation: Any, action: Any) -> float:
        """See `BehaviourPolicy`."""
        return float(np.exp(self._policy.log_propensity(self._batch(observation), np.asarray(action)[None])[0]))

    def _batch(self, observation: Any) -> np.ndarray:
        return np.asarray(observation)[None].astype(self._dtype, copy=False)


class RecurrentBehaviour(ArtifactBehaviour):
    """One that remembers the episode: how likely its actions are follows from all that it saw."""

    def __init__(self, artifact: Artifact, *, greedy: bool) -> None:
        super().__init__(
            artifact, HeadPolicy(artifact.head, artifact.manifest.action, lambda _: self._outputs, greedy=greedy)
        )
        self._served = ServedNetwork(artifact)
        self._state: np.ndarray | None = None
        self._outputs = np.empty(0)

    def begin(self) -> None:
        """See `BehaviourPolicy`."""
        self._state = None

    def observe(self, observation: Any) -> None:
        """See `BehaviourPolicy`. Raises: BadConfiguration."""
        try:
            self._outputs, self._state = self._served.outputs(self._batch(observation), self._state)
        except NotFinite as error:
            raise BadConfiguration(f"policies: {error}") from error


def _of_artifact(spec: PolicySpec, environment: gymnasium.Env[Any, Any], field: str) -> ArtifactBehaviour:
    folder = Path(spec.policy)
    if not folder.is_dir():
        near = nearest(spec.policy, (RANDOM,))
        raise BadConfiguration(
            f"{field}.policy: {spec.policy} is no folder of an artifact. "
            + (f"Did you mean {near}?" if near else f"A controller is package.module:function; there also is {RANDOM}.")
        )
    artifact = read_artifact(folder)
    manifest, remembers = artifact.manifest, artifact.manifest.state is not None
    policy = None if remembers else ArtifactPolicy(artifact, greedy=True)
    for name, wanted, found in (
        ("observations", manifest.observation, space_model(environment.observation_space)),
        ("actions", manifest.action, space_model(environment.action_space)),
    ):
        if str(wanted) != str(found):
            raise BadConfiguration(
                f"{field}: the {name} of {folder} are {wanted}, those of the environment {found}. It was trained "
                f"in {manifest.environment}, with wrappers {[one.name for one in manifest.wrappers]}: "
                "set environment to the same."
            )
    if spec.actions == "sampled" and not artifact.head.stochastic:
        raise BadConfiguration(
            f"{field}.actions: {folder} has one action for an observation (output `{manifest.output}`): leave it "
            "out, or set epsilon."
        )
    greedy = not artifact.head.stochastic or spec.actions == "greedy"
    if policy is None:
        return RecurrentBehaviour(artifact, greedy=greedy)
    return ArtifactBehaviour(artifact, policy if greedy else ArtifactPolicy(artifact, greedy=False))


class Controller(BehaviourPolicy):
    """A Python function of one observation that returns the action."""

    def __init__(self, name: str, action: Space, environment: gymnasium.Env[Any, Any], field: str) -> None:
        self._name, self._field, self._space, self._action = name, field, environment.action_space, action
        self._function = imported(name, field=f"{field}.policy", what="a function of one observation", fits=callable)
        file = inspect.getsourcefile(inspect.unwrap(self._function)) if inspect.isfunction(self._function) else None
        self.source = f"sha256:{file_sha256(Path(file))}" if file else ""

    def act(self, observation: Any, generator: np.random.Generator) -> Any:
        """See `BehaviourPolicy`.

        Raises: BadConfiguration when the function fails, or answers no action, or not always one.
        """
        first, again = self._answer(observation), self._answer(observation)
        if not np.array_equal(first, again):
            raise BadConfiguration(
                f"{self._field}: {self._name} answers {first} and then {again} to the same observation, so how likely "
                "each is is not known. Leave out chance, time and memory; epsilon explores."
            )
        return first

    def propensity(self, observation: Any, action: Any) -> float:
        """See `BehaviourPolicy`."""
        return float(np.array_equal(self._answer(observation), action))

    def _answer(self, observation: Any) -> Any:
        try:
            given = observation.copy() if isinstance(observation, np.ndarray) else observation
            found = np.asarray(self._function(given))
            if isinstance(self._action, DiscreteSpace):
                action: Any = int(found.reshape(()))
                right = bool(found == action)
            else:
                action, right = found.astype(self._space.dtype).reshape(self._space.shape), True
        except Exception as error:  # whatever a user's function raises, or answers
            raise BadConfiguration(f"{self._field}: {self._name} fails: {type(error).__name__}: {error}") from error
        if not right or not self._space.contains(action):
            raise BadConfiguration(f"{self._field}: {self._name} answers {found}, wanted an action of {self._space}.")
        return action


class Exploring(BehaviourPolicy):
    """Another policy that takes a uniform action in a share of timesteps."""

    def __init__(self, policy: BehaviourPolicy, epsilon: float, actions: int) -> None:
        self._policy, self._epsilon, self._actions = policy, epsilon, actions
        self.source = policy.source
        self.begin, self.observe = policy.begin, policy.observe  # it remembers what the policy does

    def act(self, observation: Any, generator: np.random.Generator) -> Any:
        """See `BehaviourPolicy`."""
        if generator.random() < self._epsilon:
            return int(generator.integers(self._actions))
        return self._policy.act(observation, generator)

    def propensity(self, observation: Any, action: Any) -> float:
        """See `BehaviourPolicy`: of the mixture, whichever of the two drew the action."""
        return (1 - self._epsilon) * self._policy.propensity(observation, action) + self._epsilon / self._actions
