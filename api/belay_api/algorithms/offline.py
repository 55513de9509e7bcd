"""What algorithms have in common that learn from a dataset."""

from belay_api.algorithms.common import BatchSize, Settings


class OfflineSettings(Settings):
    """What algorithms have that learn from logged episodes alone."""

    batch_size: BatchSize | None = None
    """Logged timesteps per gradient step."""
