"""Behaviour cloning: the policy that acted in the log, copied. What it earned, and nothing more, is to be expected."""

from typing import ClassVar

import torch
from torch import nn

from belay_api.algorithms.bc import BCSettings
from belay_api.dataset import ChosenBy
from belay_trainer.learners.offline.learner import OfflineLearner
from belay_trainer.learners.offline.transitions import Batch
from belay_trainer.presets import bc


class BC(OfflineLearner[BCSettings]):
    """The network that is trained beside every algorithm of this kind, and nothing beside it."""

    algorithm = "bc"
    actions = frozenset({"discrete", "box"})
    presets = bc.PRESETS
    chosen_by: ClassVar[ChosenBy] = ChosenBy.LOG_LIKELIHOOD

    def _build(self) -> None:
        self.actor, self.output = self.cloning.actor, self.cloning.actor.output

    def _update(self, batch: Batch) -> dict[str, torch.Tensor]:
        del batch
        return {}

    def _value(self) -> nn.Module | None:
        return None
