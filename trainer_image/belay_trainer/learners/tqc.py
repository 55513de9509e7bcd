"""Truncated quantile critics."""

from typing import Any

import sb3_contrib
import torch

from belay_trainer.learners.maximum_entropy import GreedyCritics, MaximumEntropy
from belay_trainer.learners.stable_baselines import CONTRIB
from belay_trainer.presets import tqc


class TQC(MaximumEntropy):
    """Stable-Baselines3 Contrib's TQC."""

    algorithm = "tqc"
    library = sb3_contrib.TQC
    settings = staticmethod(tqc.model)
    packages = CONTRIB

    def _value(self, policy: Any) -> torch.nn.Module:
        return _Mean(policy)


class _Mean(GreedyCritics):
    """The mean over all quantiles of all critics, by which the policy learns."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.critics(observation).mean(dim=(1, 2))  # of (batch, critic, quantile)
