"""What a reader most likely meant by a word that nobody knows: see `belay_api.words`."""

from belay_api.words import did_you_mean, nearest

__all__ = ["did_you_mean", "nearest"]
