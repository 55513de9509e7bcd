"""What the settings of several algorithms share. Names are Stable-Baselines3's, so they keep its spelling."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from belay_api.model import Model
from belay_api.units import FreeForm

LearningRate = Annotated[float, Field(gt=0, le=1)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
Gamma = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Steps = Annotated[int, Field(ge=1, le=1_000_000)]
Mixing = Annotated[float, Field(gt=0, le=1)]
BufferSize = Annotated[int, Field(ge=1, le=100_000_000)]
Quantiles = Annotated[int, Field(ge=1, le=10_000)]
Layers = Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(min_length=1, max_length=8)]


class Schedule(StrEnum):
    """How a setting changes over the budget."""

    CONSTANT = "constant"
    LINEAR = "linear"
    """Falls linearly to 0."""


class Activation(StrEnum):
    """What stands between the layers of a network."""

    RELU = "relu"
    TANH = "tanh"
    ELU = "elu"
    LEAKY_RELU = "leaky_relu"
    SILU = "silu"
    GELU = "gelu"


class Settings(Model):
    """What every algorithm has."""

    model_config = {"alias_generator": None}

    masked: ClassVar[bool] = False
    """Whether the algorithm has to know which actions are allowed."""

    net_arch: Layers | None = None
    """Hidden layer sizes of the policy and value networks; after a convolutional network where observations are
    images."""
    activation_fn: Activation | None = None
    """Activation function between those layers; unset: the library's, `tanh` for `ppo`, `a2c`, `maskablePPO` and
    `recurrentPPO` and `relu` for all others."""
    learning_rate: LearningRate | None = None
    """Step size of the optimiser at the first timestep."""
    gamma: Gamma | None = None
    """Discount per timestep."""


class LibrarySettings(Settings):
    """What algorithms of Stable-Baselines3 have."""

    policy_kwargs: FreeForm | None = None
    """Further keyword arguments of Stable-Baselines3's policy class, those that have no field here, such as
    `optimizer_kwargs`. A class is written `package.module:Class`."""


class OnPolicySettings(LibrarySettings):
    """What algorithms have that learn from their newest experience alone."""

    learning_rate_schedule: Schedule | None = None
    """`constant`, or `linear`: falling to 0 with the budget."""
    n_steps: Steps | None = None
    """Timesteps per environment copy between updates."""
    gae_lambda: Share | None = None
    """Bias against variance in the advantage estimate."""
    ent_coef: Weight | None = None
    """Weight of the entropy bonus."""
    vf_coef: Weight | None = None
    """Weight of the value loss."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = None
    """Length that a gradient is cut to."""


class StateDependentNoiseSettings(OnPolicySettings):
    """What algorithms have that can explore by noise that depends on what is seen."""

    use_sde: bool | None = None
    """Whether the noise of exploration is a function of what is seen, drawn anew now and then, instead of one draw a
    timestep: generalised state-dependent exploration, for continuous actions. Its standard deviation, which follows
    from what is seen as well, is served."""
    sde_sample_freq: Steps | None = None
    """Timesteps after which that function is drawn anew; unset: once for each `n_steps`."""


class OffPolicySettings(LibrarySettings):
    """What algorithms have that learn from a buffer of past experience."""

    batch_size: BatchSize | None = None
    """Samples per gradient step."""
    buffer_size: BufferSize | None = None
    """Transitions kept for replay."""
    learning_starts: Annotated[int, Field(ge=0)] | None = None
    """Timesteps collected before the first update."""
    train_freq: Steps | None = None
    """Timesteps between updates."""
    gradient_steps: Steps | None = None
    """Gradient steps per update."""


class QLearningSettings(OffPolicySettings):
    """What algorithms have that learn the value of each action and explore by random ones: DQN and QR-DQN."""

    target_update_gradient_steps: Steps | None = None
    """Gradient steps between updates of the target network. Counted in gradient steps, not timesteps: counted in
    timesteps the same number makes DQN diverge."""
    exploration_steps: Annotated[int, Field(ge=1)] | None = None
    """Timesteps over which epsilon falls to its final value."""
    exploration_initial_eps: Share | None = None
    """Epsilon at the first timestep."""
    exploration_final_eps: Share | None = None
    """Epsilon after `exploration_steps`."""


class MaximumEntropySettings(OffPolicySettings):
    """What algorithms have that are paid for random actions as well: SAC, TQC and CrossQ."""

    learning_rate_schedule: Schedule | None = None
    """`constant`, or `linear`: falling to 0 with the budget."""
    ent_coef: Annotated[float, Field(gt=0)] | None = None
    """Weight of the entropy; unset: learned, so that the policy keeps a target entropy."""
