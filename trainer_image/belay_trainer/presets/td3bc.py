"""TD3+BC's presets: the paper's settings, which CORL has as well."""

from belay_api.algorithms.td3bc import TD3BCSettings
from belay_trainer.presets import logged
from belay_trainer.presets.preset import ELSEWHERE, Preset

PRESETS = {
    ELSEWHERE: Preset(
        TD3BCSettings(
            alpha=2.5,
            tau=0.005,
            policy_delay=2,
            target_policy_noise=0.2,
            target_noise_clip=0.5,
            **logged.USUAL,
        ),
        copies=1,
        scaled=logged.SCALED,
    )
}
