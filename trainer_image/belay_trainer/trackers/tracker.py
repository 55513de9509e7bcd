"""What a destination of metrics does."""

from collections.abc import Mapping
from typing import Protocol


class Tracker(Protocol):
    """Keeps the metrics of one seed by timestep."""

    def begin(self, step: int) -> None:
        """Take up at a timestep, once: what was told of later ones is void, and will be told again. 0: of all."""

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep finite numbers by name. Timesteps do not decrease; one may come twice, with other metrics."""

    def close(self, patience_s: float) -> None:
        """Write what is left, as far as that can be done in so many seconds; nothing follows."""
