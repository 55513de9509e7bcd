"""Exploration by noise that depends on what is seen, in the words of Stable-Baselines3."""

from typing import Any

from belay_trainer.presets.preset import Chosen


def noise(chosen: Chosen[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return keyword arguments of the model and of its policy; both are empty where the noise is one draw a timestep.

    A preset's `policy_kwargs` are the first noise that was found to suit it, and go with it.
    """
    found = chosen.settings
    if not found.use_sde:
        return {}, {}
    first = {} if "policy_kwargs" in chosen.asked else dict(found.policy_kwargs or {})
    return {"use_sde": True, "sde_sample_freq": found.sde_sample_freq or -1}, first
