"""Proximal policy optimisation that remembers."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.ppo import PPOSettings
from belay_api.model import rule, rules

ONE_CRITIC_RULE = (
    "!(has(self.shared_lstm) && self.shared_lstm && has(self.enable_critic_lstm) && self.enable_critic_lstm)"
)


class RecurrentPPOSettings(PPOSettings):
    """Proximal policy optimisation with a memory of the episode (LSTM), for tasks that do not show all that matters;
    unset: the preset's."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                ONE_CRITIC_RULE,
                "shared_lstm and enable_critic_lstm are two places for the critic's memory: set one of them to false",
            )
        )
    }

    lstm_hidden_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Numbers that each layer of the memory holds, twice: it travels with every request, about 11 bytes for each."""
    n_lstm_layers: Annotated[int, Field(ge=1, le=4)] | None = None
    """Layers of the memory."""
    shared_lstm: bool | None = None
    """Whether the critic reads the policy's memory, of which it then learns nothing."""
    enable_critic_lstm: bool | None = None
    """Whether the critic has a memory of its own; unset: where it does not share the policy's. False for both: it sees
    the newest observation alone."""
