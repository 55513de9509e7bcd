"""What a learner has more where it learns from a dataset."""

from dataclasses import dataclass

from belay_api.dataset import ChosenBy
from belay_trainer.offline.data import Data
from belay_trainer.offline.policy import NetworkPolicy


@dataclass(frozen=True, slots=True)
class FromDataset:
    """What measuring and exporting ask for."""

    data: Data
    floor: NetworkPolicy | None  # behaviour cloning with the weights that it has now; None: the learner is just that
    chosen_by: ChosenBy  # by what its checkpoints are chosen where nobody plays
