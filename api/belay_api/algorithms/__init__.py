"""Which algorithm learns, and with what settings: one file each, and a field here."""

from typing import Any, Self

from pydantic import Field, model_validator

from belay_api.algorithms.a2c import A2CSettings
from belay_api.algorithms.bc import BCSettings
from belay_api.algorithms.common import Settings
from belay_api.algorithms.cql import CQLSettings
from belay_api.algorithms.crossq import CrossQSettings
from belay_api.algorithms.custom import CustomSettings
from belay_api.algorithms.dqn import DQNSettings
from belay_api.algorithms.iql import IQLSettings
from belay_api.algorithms.maskable_ppo import MaskablePPOSettings
from belay_api.algorithms.ppo import PPOSettings
from belay_api.algorithms.qrdqn import QRDQNSettings
from belay_api.algorithms.recurrent_ppo import RecurrentPPOSettings
from belay_api.algorithms.sac import SACSettings
from belay_api.algorithms.td3 import TD3Settings
from belay_api.algorithms.td3bc import TD3BCSettings
from belay_api.algorithms.tqc import TQCSettings
from belay_api.model import Model, rule, rules
from belay_api.units import FreeForm

_NO_MORE = ("name", "hyperparameters")
_FORM = "write algorithm: {ppo: {}}, with the settings that differ from the preset inside"


class AlgorithmSpec(Model):
    """How it is learned: exactly one algorithm."""

    ppo: PPOSettings | None = None
    """Proximal policy optimisation, through Stable-Baselines3."""
    a2c: A2CSettings | None = Field(default=None, alias="a2c")
    """Advantage actor-critic, through Stable-Baselines3."""
    dqn: DQNSettings | None = None
    """Deep Q-learning, through Stable-Baselines3."""
    sac: SACSettings | None = None
    """Soft actor-critic, through Stable-Baselines3."""
    td3: TD3Settings | None = None
    """Twin delayed deep deterministic policy gradient, through Stable-Baselines3."""
    qrdqn: QRDQNSettings | None = None
    """Deep Q-learning by quantile regression, through Stable-Baselines3 Contrib."""
    tqc: TQCSettings | None = None
    """Truncated quantile critics, through Stable-Baselines3 Contrib."""
    crossq: CrossQSettings | None = None
    """Soft actor-critic with batch normalisation instead of target networks, through Stable-Baselines3 Contrib."""
    maskable_ppo: MaskablePPOSettings | None = Field(default=None, alias="maskablePPO")
    """Proximal policy optimisation under action masks, through Stable-Baselines3 Contrib."""
    recurrent_ppo: RecurrentPPOSettings | None = Field(default=None, alias="recurrentPPO")
    """Proximal policy optimisation with a memory of the episode, through Stable-Baselines3 Contrib."""
    bc: BCSettings | None = None
    """Behaviour cloning, from a dataset: Belay's own."""
    td3bc: TD3BCSettings | None = Field(default=None, alias="td3bc")
    """TD3 with behaviour cloning, from a dataset: Belay's own."""
    iql: IQLSettings | None = None
    """Implicit Q-learning, from a dataset: Belay's own."""
    cql: CQLSettings | None = None
    """Conservative Q-learning, from a dataset: Belay's own."""
    custom: CustomSettings | None = None
    """An algorithm of your own, by the name of a function."""
    name: str | None = None
    """No more: the algorithm is a field of its own."""
    hyperparameters: FreeForm | None = None
    """No more: settings stand inside the algorithm."""

    @property
    def chosen(self) -> str:
        """The algorithm's name, as the spec has it."""
        return next(name for name, field in _FIELDS.items() if getattr(self, field) is not None)

    @property
    def settings(self) -> Settings:
        """What was asked of it, where it is one of `ALGORITHMS`."""
        found: Settings = getattr(self, _FIELDS[self.chosen])
        return found

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(getattr(self, field) is not None for field in _FIELDS.values()) != 1:
            raise ValueError(_EXACTLY_ONE)
        return self

    @model_validator(mode="before")
    @classmethod
    def _read_old_form(cls, value: Any) -> Any:
        # Jobs made before each algorithm had its own field are still in clusters, most of them finished.
        if isinstance(value, dict) and "name" in value:
            others = {key: said for key, said in value.items() if key not in _NO_MORE}
            return others | {value["name"]: value.get("hyperparameters") or {}}
        return value


_FIELDS = {info.alias or name: name for name, info in AlgorithmSpec.model_fields.items() if name not in _NO_MORE}
ALGORITHMS = tuple(name for name in _FIELDS if name != "custom")
"""Those that Belay brings."""
FROM_DATASET = ("bc", "td3bc", "iql", "cql")
"""Those that learn from a dataset; all others learn in an environment."""
_EXACTLY_ONE = f"an algorithm is exactly one of {', '.join([*_FIELDS][:-1])} and {[*_FIELDS][-1]}: {_FORM}"
AlgorithmSpec.model_config["json_schema_extra"] = rules(
    rule(
        "!has(self.name) && !has(self.hyperparameters)",
        f"algorithm.name and algorithm.hyperparameters are no more: {_FORM}",
    ),
    rule(f"has(self.name) || [{', '.join(f'has(self.{name})' for name in _FIELDS)}].exists_one(x, x)", _EXACTLY_ONE),
)
