"""CQL's presets.

Source: alpha is 1 in what courses teach and in d3rlpy for choices; CORL has 10 for locomotion, with other rewards. The
    policy's step size is d3rlpy's.
"""

from belay_api.algorithms.cql import CQLSettings
from belay_trainer.presets import logged
from belay_trainer.presets.preset import ELSEWHERE, Preset

PRESETS = {
    ELSEWHERE: Preset(
        CQLSettings(
            alpha=1.0,
            tau=0.005,
            n_actions=10,
            actor_learning_rate=1e-4,
            **logged.USUAL,
        ),
        copies=1,
        scaled=logged.SCALED,
    )
}
