"""Which algorithm learns, and with what settings: one file each, and a field here."""

from typing import Any, Self

from pydantic import model_validator

from belay_api.algorithms.common import Settings
from belay_api.algorithms.dqn import DQNSettings
from belay_api.algorithms.ppo import PPOSettings
from belay_api.model import Model, rule, rules
from belay_api.units import FreeForm

ALGORITHMS = ("ppo", "dqn")
_FORM = "write algorithm: {ppo: {}}, with the settings that differ from the preset inside"


class AlgorithmSpec(Model):
    """How it is learned: exactly one algorithm."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.name) && !has(self.hyperparameters)",
                f"algorithm.name and algorithm.hyperparameters are no more: {_FORM}",
            ),
            rule(
                f"has(self.name) || [{', '.join(f'has(self.{name})' for name in ALGORITHMS)}].exists_one(x, x)",
                f"an algorithm is exactly one of {' and '.join(ALGORITHMS)}: {_FORM}",
            ),
        )
    }

    ppo: PPOSettings | None = None
    """Proximal policy optimisation, through Stable-Baselines3."""
    dqn: DQNSettings | None = None
    """Deep Q-learning, through Stable-Baselines3."""
    name: str | None = None
    """No more: the algorithm is a field of its own."""
    hyperparameters: FreeForm | None = None
    """No more: settings stand inside the algorithm."""

    @property
    def chosen(self) -> str:
        """The algorithm's name."""
        return next(name for name in ALGORITHMS if getattr(self, name) is not None)

    @property
    def settings(self) -> Settings:
        """What was asked of it."""
        found: Settings = getattr(self, self.chosen)
        return found

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(getattr(self, name) is not None for name in ALGORITHMS) != 1:
            raise ValueError(f"an algorithm is exactly one of {' and '.join(ALGORITHMS)}: {_FORM}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _read_old_form(cls, value: Any) -> Any:
        # Jobs made before each algorithm had its own field are still in clusters, most of them finished.
        if isinstance(value, dict) and "name" in value:
            others = {key: said for key, said in value.items() if key not in ("name", "hyperparameters")}
            return others | {value["name"]: value.get("hyperparameters") or {}}
        return value
