"""Soft actor-critic with batch normalisation instead of target networks.

The running statistics of its batch normalisation are buffers of the policy: they are in its weights, and so in
checkpoints, digests and the served network, which computes with them and never with those of a batch.
"""

import sb3_contrib

from belay_trainer.learners.maximum_entropy import MaximumEntropy
from belay_trainer.learners.stable_baselines import CONTRIB
from belay_trainer.presets import crossq


class CrossQ(MaximumEntropy):
    """Stable-Baselines3 Contrib's CrossQ."""

    algorithm = "crossq"
    convolves = False
    combines = False
    library = sb3_contrib.CrossQ
    settings = staticmethod(crossq.model)
    packages = CONTRIB
