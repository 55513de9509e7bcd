"""The configurations that tests of the trainer run. For those outside its image as well: no torch is needed here."""

from typing import Any

from belay_api.training import TrainingConfig

NAMESPACE, UID = "demo", "11111111-2222-3333-4444-555555555555"


def make_config(**spec: Any) -> TrainingConfig:
    """Return a training configuration; `spec` overrides parts of a short PPO run on a volume."""
    parts = {
        "environment": {"id": "CartPole-v1"},
        "algorithm": {"ppo": {}},
        "budget": {"steps": 3000},
        "evaluation": {"every": 1000, "episodes": 4},
        "checkpoint": {"every": 1000},
        "storage": {"pvc": {"claim": "policies"}},
    }
    return TrainingConfig.model_validate(
        {
            "namespace": NAMESPACE,
            "job": "cartpole",
            "uid": UID,
            "attempt": 1,
            "configHash": "0" * 8,
            "spec": parts | spec,
        }
    )
