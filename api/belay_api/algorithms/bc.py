"""Behaviour cloning."""

from belay_api.algorithms.offline import OfflineSettings


class BCSettings(OfflineSettings):
    """Behaviour cloning, from a dataset, for discrete and continuous actions; unset: the preset's. Its `gamma` is that
    of estimates alone."""
