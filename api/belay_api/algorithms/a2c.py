"""Advantage actor-critic."""

from belay_api.algorithms.common import StateDependentNoiseSettings


class A2CSettings(StateDependentNoiseSettings):
    """Synchronous advantage actor-critic, on-policy, for discrete and continuous actions; unset: the preset's.

    All copies are stepped together and one update uses the experience of all: the A of A3C, its asynchrony, is left
    out.
    """

    normalize_advantage: bool | None = None
    """Whether advantages are brought to mean 0 and standard deviation 1 before each update."""
