"""Truncated quantile critics."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import MaximumEntropySettings, Mixing, Quantiles


class TQCSettings(MaximumEntropySettings):
    """Soft actor-critic whose critics learn how the discounted return is distributed, off-policy, for continuous
    actions; unset: the preset's.

    The highest quantiles of the target are left out, so that values are not overestimated.
    """

    tau: Mixing | None = None
    """How far the target networks move towards the critics at each gradient step."""
    n_critics: Annotated[int, Field(ge=1, le=100)] | None = None
    """Critics, each with quantiles of its own."""
    n_quantiles: Quantiles | None = None
    """Quantiles per critic."""
    top_quantiles_to_drop_per_net: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Highest quantiles that are left out of the target, counted per critic; fewer than `n_quantiles`."""
