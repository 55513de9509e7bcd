"""How the settings of algorithms with a replay buffer become Stable-Baselines3's."""

from typing import Any

from belay_api.algorithms.common import MaximumEntropySettings, OffPolicySettings

BUFFER = 100_000  # transitions; a tenth of Stable-Baselines3's, which takes gigabytes where observations are not small


def vector_steps(settings: OffPolicySettings, copies: int) -> int:
    """Return between how many steps of the whole vector there is an update; settings count timesteps."""
    return max(1, round(settings.train_freq / copies))


def arguments(settings: OffPolicySettings, copies: int) -> dict[str, Any]:
    """Return the arguments that all of them share."""
    same = {"gamma", "batch_size", "buffer_size", "learning_starts", "gradient_steps"}
    return {
        "train_freq": (vector_steps(settings, copies), "step"),
        "policy_kwargs": {"net_arch": list(settings.net_arch)},
        **settings.model_dump(include=same),
    }


def entropy_weight(settings: MaximumEntropySettings) -> float | str:
    """Return the weight of the entropy, or the library's word for one that is learned."""
    return "auto" if settings.ent_coef is None else settings.ent_coef
