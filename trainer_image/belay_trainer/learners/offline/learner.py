"""One seed of an algorithm that learns from logged episodes, behind `Learner`: its timesteps are gradient steps.

Batches are drawn from a generator of its own and everything else from torch's, so a resumed training draws what an
uninterrupted one would have drawn. It can be left between any two gradient steps: there is no collection, and no
environment to go on with.
"""

import copy
import hashlib
import io
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from belay_api.algorithms.common import Activation
from belay_api.algorithms.offline import OfflineSettings
from belay_api.dataset import ChosenBy
from belay_heads import head_of
from belay_trainer.config import Run
from belay_trainer.diagnosis.recorder import Recorder
from belay_trainer.errors import BadConfiguration, Diverged
from belay_trainer.gpu import on_cpu
from belay_trainer.learners.learner import Internals, Networks
from belay_trainer.learners.networks import Preprocessed
from belay_trainer.learners.offline.cloning import Cloning
from belay_trainer.learners.offline.networks import Actor, Categorical, Critics, Gaussian, Range
from belay_trainer.learners.offline.transitions import Batch, Transitions, normaliser_of
from belay_trainer.offline.data import Data
from belay_trainer.offline.from_dataset import FromDataset
from belay_trainer.offline.policy import NetworkPolicy
from belay_trainer.presets.preset import ACTIVATIONS, Preset, PresetContext, choose

S = TypeVar("S", bound=OfflineSettings)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell: the same training gives the same bytes


class OfflineLearner(ABC, Generic[S]):
    """A `Learner`; an algorithm's file says what differs.

    An algorithm makes its networks and optimisers in `_build`, into `networks_by_name` and `optimisers`.
    """

    algorithm: ClassVar[str]
    actions: ClassVar[frozenset[str]]
    presets: ClassVar[Mapping[str, Preset[Any]]]
    chosen_by: ClassVar[ChosenBy] = ChosenBy.FITTED_Q
    """By what its checkpoints are chosen where nobody plays."""
    actor: nn.Module
    """The network of the policy that is served; made in `_build`."""
    output: str
    """The head that reads what `actor` answers; known after `_build`."""
    packages = ("torch",)
    adversary = None
    recorder: Recorder | None = None
    """Nothing is collected, so it is told nothing."""

    def __init__(self, run: Run, data: Data) -> None:
        """Set up untrained. Raises: BadConfiguration."""
        spec, played_in = run.spec, run.spec.played_in
        chosen = choose(
            self.presets,
            spec.algorithm.settings,
            PresetContext(
                environment=played_in.id if played_in else "",
                steps=spec.budget.steps,
                observation=spec.normalize.observation,
                reward=spec.normalize.reward,
            ),
        )
        self.data, self.preset = data, chosen.name
        self.settings: S = chosen.settings
        self.discount = float(chosen.settings.gamma)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.normaliser = normaliser_of(data.learning) if chosen.scaled.observation else None
        self.reward_scale = _reward_scale(data.learning.rewards) if chosen.scaled.reward else 1.0
        self.transitions = Transitions(
            data.learning, normaliser=self.normaliser, reward_scale=self.reward_scale, device=self.device
        )
        if not len(self.transitions):
            raise BadConfiguration(
                "dataset.path: of no timestep is it known what followed: every episode has one timestep and was "
                "truncated. Log `next_observation` there."
            )
        torch.manual_seed(run.seed)
        self._generator = np.random.default_rng(run.seed)
        self._steps, self._losses = 0, dict[str, torch.Tensor]()

        self.inputs = int(np.prod(data.observation_space.shape))
        self.choices = int(data.action_space.n) if isinstance(data.action_space, spaces.Discrete) else None
        self.range = None if self.choices is not None else Range(data.action_space, data.learning.actions)
        self.cloning = Cloning(self._actor().to(self.device), learning_rate=float(self.settings.learning_rate))
        self.networks_by_name: dict[str, nn.Module] = {"cloning": self.cloning.actor}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"cloning": self.cloning.optimiser}
        self._build()
        self._serving = self._served(self.actor)
        self.policy = self._policy(self._serving, self.output)
        copied = self.cloning.actor
        floor = None if copied is self.actor else self._policy(self._served(copied), copied.output)
        self.from_dataset = FromDataset(data, floor, self.chosen_by)

    @property
    def timesteps(self) -> int:
        """See `Learner.timesteps`."""
        return self._steps

    def start(self) -> None:
        """See `Learner.start`. There is nothing to reset."""

    def advance(self, until: int, *, leave: Callable[[], bool], on_step: Callable[[], None]) -> None:
        """See `Learner.advance`."""
        del on_step  # it may leave after each step anyway
        while self._steps < until and not leave():
            batch = self.transitions.draw(int(self.settings.batch_size), self._generator)
            self._losses = self.cloning.update(batch) | self._update(batch)
            self._steps += 1
            for name, loss in self._losses.items():
                if not bool(torch.isfinite(loss)):
                    raise Diverged(
                        f"{name} is {float(loss)} at gradient step {self._steps}: lower learning_rate, or look at the "
                        "size of the dataset's rewards and observations."
                    )

    def episodes(self) -> int:
        """See `Learner.episodes`. They are the logged ones."""
        return self.data.learning.episodes

    def metrics(self) -> dict[str, float]:
        """See `Learner.metrics`."""
        found = {name: float(loss) for name, loss in self._losses.items()}
        return found | ({"updates": float(self._steps)} if found else {})

    def internals(self) -> Internals:
        """See `Learner.internals`."""
        weights = [tensor.detach().cpu().numpy().ravel() for tensor in self.actor.parameters()]
        rewards = self.data.learning.rewards
        return Internals(
            gradient_steps=self._steps,
            weights=np.concatenate(weights),
            rewards=(float(rewards.min()), float(rewards.max())),
        )

    def values(self, observations: np.ndarray) -> np.ndarray | None:
        """See `Learner.values`."""
        value = self._value()
        if value is None:
            return None
        with torch.no_grad():
            found = self._served(value)(torch.from_numpy(observations).to(self.device))
        return found.cpu().numpy() * self.reward_scale

    def finite(self) -> bool:
        """See `Learner.finite`."""
        return all(bool(torch.isfinite(tensor).all()) for tensor in self._tensors().values())

    def state(self, *, collecting_since: int | None = None) -> dict[str, Any]:
        """See `Learner.state`."""
        del collecting_since  # it is always left between two gradient steps
        counters = {"steps": self._steps, "draws": self._generator.bit_generator.state}
        return {"weights": self._weights(), "counters": counters}

    def collection(self) -> Any:
        """See `Learner.collection`. There is none."""
        return None

    def restore(self, state: dict[str, Any], collection: Any | None) -> None:
        """See `Learner.restore`."""
        del collection
        self._set_weights(state["weights"])
        self._steps = state["counters"]["steps"]
        self._generator.bit_generator.state = state["counters"]["draws"]

    def weights(self) -> dict[str, Any]:
        """See `Learner.weights`."""
        return copy.deepcopy(self._weights()) | {"timesteps": self._steps}

    def take(self, weights: dict[str, Any]) -> None:
        """See `Learner.take`."""
        self._set_weights(weights)
        self._steps = weights["timesteps"]

    def weights_sha256(self) -> str:
        """See `Learner.weights_sha256`."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._tensors().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def networks(self) -> Networks:
        """See `Learner.networks`."""
        value = self._value()
        return Networks(
            actor=_frozen(self._serving),
            output=self.output,
            value=None if value is None else _frozen(self._served(value)),
            normaliser=self.normaliser,
        )

    def save(self, path: Path) -> None:
        """See `Learner.save`. A zip of arrays by name, each as NumPy writes it: no pickle."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, tensor in sorted(self._tensors().items()):
                content = io.BytesIO()
                np.save(content, tensor.cpu().numpy(), allow_pickle=False)
                zipped.writestr(zipfile.ZipInfo(f"{name}.npy", _LONG_AGO), content.getvalue())

    @abstractmethod
    def _build(self) -> None:
        """Make networks and optimisers beside those of `cloning`. Raises: BadConfiguration."""

    @abstractmethod
    def _update(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Make one gradient step and return the losses by name."""

    @abstractmethod
    def _value(self) -> nn.Module | None:
        """Return the network from observations to the expected discounted return (batch,), of scaled rewards."""

    def _actor(self) -> Actor:
        """Return a policy's network that logged actions are made likely under."""
        shape = {"hidden": self._hidden, "activation": self._activation}
        if self.choices is not None:
            return Categorical(self.inputs, self.choices, **shape)
        return Gaussian(self.inputs, self.range, **shape)

    def _critics(self) -> Critics:
        numbers = self.range.size if self.range is not None else 0
        return Critics(
            self.inputs, choices=self.choices, numbers=numbers, hidden=self._hidden, activation=self._activation
        ).to(self.device)

    def _adam(self, *networks: nn.Module, learning_rate: float | None = None) -> torch.optim.Optimizer:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return torch.optim.Adam(parameters, lr=float(learning_rate or self.settings.learning_rate))

    @property
    def _hidden(self) -> list[int]:
        return list(self.settings.net_arch or ())

    @property
    def _activation(self) -> type[nn.Module]:
        return ACTIVATIONS[self.settings.activation_fn or Activation.RELU]

    def _served(self, network: nn.Module) -> Preprocessed:
        """The network behind the normaliser, for raw observations."""
        shape = list(self.data.observation_space.shape)
        return Preprocessed(network, self.normaliser, channels_last=False, shape=shape).to(self.device).eval()

    def _policy(self, network: nn.Module, output: str) -> NetworkPolicy:
        action = self.data.action
        return NetworkPolicy(network, head_of(output, action), action, device=self.device)

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": tensor.detach()
            for name, network in self.networks_by_name.items()
            for key, tensor in network.state_dict().items()
        }

    def _weights(self) -> dict[str, Any]:
        return {
            "networks": {name: on_cpu(network.state_dict()) for name, network in self.networks_by_name.items()},
            "optimisers": {name: on_cpu(optimiser.state_dict()) for name, optimiser in self.optimisers.items()},
        }

    def _set_weights(self, saved: dict[str, Any]) -> None:
        for name, network in self.networks_by_name.items():
            network.load_state_dict(saved["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(copy.deepcopy(saved["optimisers"][name]))


def _reward_scale(rewards: np.ndarray) -> float:
    """Return the mean size of the rewards; 1 where all are 0.

    So a value is at most 1 / (1 - discount) or so, and settings that weigh values against something else, such as CQL's
    alpha and IQL's temperature, mean the same in tasks whose rewards are in other units.
    Departs: Kostrikov et al. divide by the range of the logged returns, which is next to nothing in a log of one policy
        that always does as well.
    """
    return float(np.abs(rewards).mean()) or 1.0


def _frozen(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).cpu().requires_grad_(False).eval()
