"""IQL's presets: the paper's settings for locomotion.

Departs: The policy's step size does not fall with the budget.
"""

from belay_api.algorithms.iql import IQLSettings
from belay_trainer.presets import logged
from belay_trainer.presets.preset import ELSEWHERE, Preset

PRESETS = {
    ELSEWHERE: Preset(
        IQLSettings(
            expectile=0.7,
            temperature=3.0,
            max_weight=100.0,
            tau=0.005,
            **logged.USUAL,
        ),
        copies=1,
        scaled=logged.SCALED,
    )
}
