"""What is the same in both clients: how they are set up, and what they ask. How they send is their own."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from belay_client import core
from belay_client.core import Answer, EpisodeMemory
from belay_client.credentials import Credentials, logbook
from belay_client.episode import ReportedEpisode
from belay_client.question import Question
from belay_client.reports import Outbox

LOGBOOK_TIMEOUT_S = 10.0  # for one batch of outcomes; nobody waits for it
FLUSH_S = 10.0


class BaseClient(ABC):
    """A client but for its network."""

    def __init__(
        self,
        url: str,
        *,
        fallback_action: Any,
        timeout_s: float = core.DEFAULT_TIMEOUT_S,
        logbook_url: str | None = None,
        logbook_namespace: str | None = None,
        credentials: Credentials | None = None,
        rollout: str | None = None,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            url: The route, e.g. `http://gateway/predictions/cartpole`.
            fallback_action: The safe default action, taken whenever the policy does not answer well in time.
            timeout_s: Longest wait for a decision, in seconds.
            logbook_url: Where outcomes go; None: the environment's BELAY_LOGBOOK_URL, and without it nowhere.
            logbook_namespace: Namespace of the policies; None: BELAY_NAMESPACE.
            credentials: None: the pod's projected token.
            rollout: Name of an RLRollout with `traffic.replicas`, whose Service `url` is: each episode then has a
                connection of its own. None: `url` is a gateway's.
        Raises: ValueError for an address that is none, or a logbook without a namespace.
        """
        self._url = url
        self._fallback = fallback_action
        self._timeout_s = timeout_s
        self.rollout = rollout
        self._logbook = logbook(logbook_url, logbook_namespace, credentials)
        self.outbox = Outbox()
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Make what sends."""

    def _about(self, memories: Sequence[EpisodeMemory], observations: Sequence[Any], masks: Sequence[Any]) -> Question:
        asked = zip(memories, observations, masks, strict=True)
        items = [memory.item(observation, mask) for memory, observation, mask in asked]
        return Question(items, fallback=self._fallback, memories=memories)

    def _about_none(self, observations: Sequence[Any], masks: Sequence[Any] | None, *, deterministic: bool) -> Question:
        items = [
            {"observation": each, "deterministic": deterministic} | ({} if mask is None else {"mask": mask})
            for each, mask in zip(observations, _one_each(masks, observations), strict=True)
        ]
        return Question(items, fallback=self._fallback)

    def _by_version(
        self, episodes: Sequence[ReportedEpisode], observations: Sequence[Any], masks: Sequence[Any] | None
    ) -> list[tuple[list[int], Question]]:
        """Return a question per version, each with the places its answers belong to."""
        if len(episodes) != len(observations):
            raise ValueError(f"{len(observations)} observations of {len(episodes)} episodes: give one of each")
        masks = _one_each(masks, observations)
        places: dict[object, list[int]] = {}
        for place, episode in enumerate(episodes):
            places.setdefault(episode.memory.pin, []).append(place)
        return [
            (
                group,
                self._about(
                    [episodes[place].memory for place in group],
                    [observations[place] for place in group],
                    [masks[place] for place in group],
                ),
            )
            for group in places.values()
        ]


def _one_each(masks: Sequence[Any] | None, observations: Sequence[Any]) -> Sequence[Any]:
    if masks is None:
        return [None] * len(observations)
    if len(masks) != len(observations):
        raise ValueError(f"{len(masks)} masks for {len(observations)} observations: give one of each, or no masks")
    return masks


def in_place(groups: Iterable[tuple[list[int], list[Answer]]]) -> list[Answer]:
    """Return the answers in the order of the episodes."""
    answers = {place: answer for places, given in groups for place, answer in zip(places, given, strict=True)}
    return [answers[place] for place in range(len(answers))]
