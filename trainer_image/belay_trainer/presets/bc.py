"""Behaviour cloning's presets: see `logged`."""

from belay_api.algorithms.bc import BCSettings
from belay_trainer.presets import logged
from belay_trainer.presets.preset import ELSEWHERE, Preset

PRESETS = {
    ELSEWHERE: Preset(
        BCSettings(**logged.USUAL),
        copies=1,
        scaled=logged.SCALED,
    )
}
