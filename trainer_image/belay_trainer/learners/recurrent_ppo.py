"""Proximal policy optimisation that remembers: what the policy knows of an episode is in its LSTM.

Outside of the library that memory is one array for each episode, (2, layers, numbers of a layer): what the LSTM shows
and what it keeps. Zeros begin an episode.
"""

import warnings
from typing import Any

import numpy as np
import sb3_contrib
import torch
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecTransposeImage

from belay_trainer.evaluate import Policy
from belay_trainer.learners.on_policy import OnPolicy, outputs
from belay_trainer.learners.stable_baselines import CONTRIB
from belay_trainer.presets import recurrent_ppo

# What the first advises is done: what is remembered is an input. What the second fears are the checks of sizes in
# torch's own module. Batches of other sizes are tried in tests.
warnings.filterwarnings("ignore", message="Exporting a model to ONNX with a batch_size other than 1")
warnings.filterwarnings("ignore", category=torch.jit.TracerWarning, module=r"torch\.nn\.modules\.rnn")


class RecurrentPPO(OnPolicy):
    """Stable-Baselines3 Contrib's RecurrentPPO."""

    algorithm = "recurrentPPO"
    library = sb3_contrib.RecurrentPPO
    settings = staticmethod(recurrent_ppo.model)
    packages = CONTRIB
    networks_are_called = "LstmPolicy"

    def values(self, observations: np.ndarray) -> None:
        """Return nothing: what the critic expects hangs on what was before, and single observations do not tell it."""

    def collection(self) -> Any:
        """See `Learner.collection`: what is remembered of the episodes under way is a part of them."""
        memory = [[tensor.cpu().numpy() for tensor in part] for part in self.model._last_lstm_states]
        return super().collection() | {"memory": memory}

    def restore(self, state: dict[str, Any], collection: Any | None) -> None:
        """See `Learner.restore`."""
        super().restore(state, collection)
        if collection is not None:
            self._remember(collection["memory"])

    def _begin_episodes(self) -> None:
        super()._begin_episodes()
        self._remember([[np.zeros_like(tensor.cpu()) for tensor in part] for part in self.model._last_lstm_states])

    def _remember(self, memory: list[list[np.ndarray]]) -> None:
        device = self.model.device
        parts = [tuple(torch.tensor(array, device=device) for array in part) for part in memory]
        self._set({"_last_lstm_states": RNNStates(*parts)})

    def _acting(self) -> Policy:
        return _Remembering(self.model.policy)

    def _served(self, policy: Any, transposed: VecTransposeImage | None) -> torch.nn.Module:
        preprocessing = self._preprocessed(torch.nn.Identity(), transposed)
        return _Actor(preprocessing, policy, gaussian=self.kind == "box").eval()

    def _state(self) -> tuple[int, ...]:
        lstm = self.model.policy.lstm_actor
        return 2, lstm.num_layers, lstm.hidden_size

    def _value(self, policy: Any) -> torch.nn.Module:
        return _FirstValue(policy)


class _Remembering:
    """The library's policy with its memory as one array for each episode; see `evaluate.Policy`."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def predict(
        self, observation: Any, *, state: np.ndarray | None = None, **how: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one action per observation, and what is remembered after each."""
        shown_and_kept = None if state is None else (state[:, 0].swapaxes(0, 1), state[:, 1].swapaxes(0, 1))
        actions, after = self._policy.predict(observation, state=shown_and_kept, **how)
        return actions, np.stack([part.swapaxes(0, 1) for part in after], axis=1)


class _Actor(torch.nn.Module):
    """Observations and what was remembered before, to what the head reads and what is remembered after."""

    def __init__(self, preprocessing: torch.nn.Module, policy: Any, *, gaussian: bool) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.policy = policy
        self.gaussian = gaussian

    def forward(self, observation: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        policy = self.policy
        features = BasePolicy.extract_features(policy, self.preprocessing(observation), policy.pi_features_extractor)
        # The library's have the layers first, and the batch behind them.
        shown, kept = (part.transpose(0, 1).contiguous() for part in state.unbind(dim=1))
        latent, after = policy.lstm_actor(features.unsqueeze(0), (shown, kept))
        next_state = torch.stack([part.transpose(0, 1) for part in after], dim=1)
        return outputs(policy, latent.squeeze(0), gaussian=self.gaussian), next_state


class _FirstValue(torch.nn.Module):
    """What the critic expects at the beginning of an episode, where nothing is remembered yet."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        policy = self.policy
        features = BasePolicy.extract_features(policy, observation, policy.vf_features_extractor)
        lstm = policy.lstm_actor if policy.shared_lstm else policy.lstm_critic
        if lstm is None:
            latent = policy.critic(features)
        else:
            nothing = torch.zeros(lstm.num_layers, features.shape[0], lstm.hidden_size)
            latent = lstm(features.unsqueeze(0), (nothing, nothing))[0].squeeze(0)
        return policy.value_net(policy.mlp_extractor.forward_critic(latent))[:, 0]
