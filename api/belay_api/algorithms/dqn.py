"""Deep Q-learning."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import BatchSize, Gamma, LearningRate, Settings


class DQNSettings(Settings):
    """Deep Q-learning, off-policy, for discrete actions; unset: the preset's."""

    learning_rate: LearningRate | None = None
    """Step size of the optimiser."""
    batch_size: BatchSize | None = None
    """Samples per gradient step."""
    gamma: Gamma | None = None
    """Discount per timestep."""
    buffer_size: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Transitions kept for replay."""
    learning_starts: Annotated[int, Field(ge=0)] | None = None
    """Timesteps collected before the first update."""
    train_freq: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Timesteps between updates."""
    gradient_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Gradient steps per update."""
    target_update_gradient_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Gradient steps between updates of the target network. Counted in gradient steps, not timesteps: counted in
    timesteps the same number makes DQN diverge."""
    exploration_steps: Annotated[int, Field(ge=1)] | None = None
    """Timesteps over which epsilon falls to its final value."""
    exploration_initial_eps: Annotated[float, Field(ge=0, le=1)] | None = None
    """Epsilon at the first timestep."""
    exploration_final_eps: Annotated[float, Field(ge=0, le=1)] | None = None
    """Epsilon after `exploration_steps`."""
