"""What keeps the pods of a Job from running, in the words that people are told.

Pure. The words of others come from pods, from Events, and from the Job's controller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from belay_api.units import format_instant
from belay_operator.pods import PodView, over_quota


@dataclass(frozen=True, slots=True)
class Obstacle:
    """It goes on by itself once this is gone."""

    message: str
    without_room: bool  # the cluster or a quota is full; False: somebody has to mend something


@dataclass(frozen=True, slots=True)
class StoreOutage:
    """The built-in store, which is the logbook, does not answer its operator, or can record nothing."""

    since: datetime
    words: str  # the first ones: later ones say no more

    @property
    def message(self) -> str:
        """It as a sentence."""
        return f"The built-in store (the logbook) takes nothing since {format_instant(self.since)}: {self.words}."


def obstacle(
    title: str, *, cannot_start: str | None, unschedulable: str | None, cannot_be_made: str | None
) -> Obstacle | None:
    """Return what is told first; None: nothing keeps them.

    Args:
        title: The Job, as sentences call it.
        cannot_start, unschedulable, cannot_be_made: Why, in the words of the kubelet, the scheduler and the controller.
    """
    if cannot_start is not None:
        return _mended_by_others(title, f"can start: {cannot_start}")
    if unschedulable is not None:
        return _without_room(title, unschedulable)
    if cannot_be_made is None:
        return None
    if over_quota(cannot_be_made):
        return _without_room(title, cannot_be_made)
    return _mended_by_others(title, f"can be made: {cannot_be_made}")


def cannot_start(pods: Sequence[PodView], told: str | None) -> str | None:
    """Return the words of the pods themselves, and what Events tell of those that wait."""
    own = min((words for pod in pods if (words := pod.cannot_start)), default=None)
    waits = any(pod.phase == "Pending" and not pod.deleting for pod in pods)
    return "; ".join(words for words in (own, told if waits else None) if words) or None


def _mended_by_others(title: str, words: str) -> Obstacle:
    return Obstacle(f"No pod of {title} {words}. It goes on by itself once that is mended.", without_room=False)


def _without_room(title: str, words: str) -> Obstacle:
    message = f"No pod of {title} has a place to run: {words}. It goes on by itself once there is one."
    return Obstacle(message, without_room=True)
