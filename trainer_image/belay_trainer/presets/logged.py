"""What the presets of algorithms that learn from a dataset share.

Source: CORL (Tarasov, Nikulin, Akimov, Kurenkov, Kolesnikov, "CORL: Research-oriented Deep Offline Reinforcement
    Learning Library", NeurIPS 2023), the files in algorithms/offline: networks, batches, step sizes and discount.
Departs: Rewards are divided by their mean size, where CORL knows each benchmark's; see `OfflineLearner`.
"""

from typing import Any

from belay_trainer.presets.preset import Scaled

USUAL: dict[str, Any] = {"learning_rate": 3e-4, "batch_size": 256, "gamma": 0.99, "net_arch": [256, 256]}
SCALED = Scaled(observation=True, reward=True)
