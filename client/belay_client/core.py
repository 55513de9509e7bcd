"""What a decision and its episode are, in both clients and without any network.

The rule that keeps an episode together is here: once a version has answered, its name is sent back in the header
`x-belay-policy` until the episode ends. When another version answers all the same (a rollback took the first one away),
the episode follows it and is marked as moved.

What a policy remembers travels with the episode as well: each answer's `state` goes back with the next decision. A
version that takes over cannot read the other's; it is then asked without, and begins as with a new episode.

Where a rollout has no gateway (`traffic.replicas`) nobody reads that header: what is assigned is a connection, and it
stays with its pod. So each episode has one of its own there, and says itself whose evidence it is.
"""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from belay_api import users
from belay_api.names import POLICY_HEADER, ROLLOUT_HEADER

DEFAULT_TIMEOUT_S = 0.1  # an application that acts ten times a second can just afford it


@dataclass(frozen=True, slots=True)
class Answer:
    """What to do now."""

    action: Any  # a number for Discrete, else nested lists in the space's shape; the fallback action when `fallback`
    policy: str | None  # name of the RLPolicy that acted; None: none did
    fallback: bool  # True: the policy did not answer in time or not well, and this is the safe default action
    error: str | None = None  # why, when `fallback`
    state_lost: bool = False  # True: it took over from another version, whose memory it cannot read, and began anew


class EpisodeMemory:
    """What one episode remembers between its decisions."""

    def __init__(
        self,
        episode_id: str | None = None,
        *,
        deterministic: bool = True,
        rollout: str | None = None,
        user: str | None = None,
    ) -> None:
        """Begin to remember.

        Args:
            rollout: It has a connection of its own, to the Service of that one; None: a route says whose it is.
            user: Key of the user whose episode it is, which stays here: what is sent is its hash. None: nobody's.
        Raises: ValueError for an empty key.
        """
        self.id = episode_id or uuid.uuid4().hex
        self.rollout = rollout
        self.user = None if user is None else users.number_of(user)
        self.deterministic = deterministic
        self.policy: str | None = None  # the version that answered last; None: none has
        self.moved = False
        self.state_lost = False  # a version took over that could not read what the one before it remembered
        self.state: str | None = None  # what the policy remembers of the episode; None: nothing yet, or it never does
        self.decisions = 0  # answered by a policy
        self.fallbacks = 0
        self._first_receipt: str | None = None

    @property
    def receipt(self) -> str | None:
        """Receipt of the first decision; None: nothing was answered with one, so no outcome can be reported."""
        return self._first_receipt

    def item(self, observation: Any, mask: Any = None) -> dict[str, Any]:
        """Return the request item of the next decision.

        `step` counts the decisions a policy made. If the first attempt was lost the next one is step 0 again: an
        episode begins with the first answer that arrived.
        """
        item = {"observation": observation, "episode": self.id, "step": self.decisions}
        if mask is not None:
            item["mask"] = mask
        if self.state is not None:
            item["state"] = self.state
        return item if self.deterministic else item | {"deterministic": False}

    @property
    def pin(self) -> object:
        """What decisions asked for in one request must have in common: the version, or nobody else's first decision.

        First decisions travel alone, since the gateway draws a version per request: asked together, the episodes of a
        vectorised environment would all begin on the same one. On connections of their own all travel alone.
        """
        return self.id if self.rollout is not None else self.policy or self.id

    def headers(self) -> dict[str, str]:
        """Return the header that pins the episode, once there is a version to pin it to, and whose evidence it is.

        Before that, who it is assigned by: decisions of several users may travel together once they are pinned.
        """
        pinned = {POLICY_HEADER: self.policy} if self.policy else {}
        if self.user is not None and not pinned:
            pinned = users.write_headers(self.user)
        return pinned if self.rollout is None else pinned | {ROLLOUT_HEADER: self.rollout}

    def take(self, answer: Answer, receipt: str | None, state: str | None) -> None:
        """Remember an answer; a fallback leaves what the policy remembers as it was.

        Args:
            state: What the policy remembers then; None: nothing.
        """
        if answer.fallback:
            self.fallbacks += 1
            return
        self.state = state
        self.moved |= self.policy is not None and answer.policy != self.policy
        self.policy = answer.policy
        self.decisions += 1
        self._first_receipt = self._first_receipt or receipt

    def lose_state(self) -> None:
        """Go on with a version that cannot read what the one before it remembered: the episode is no longer its own."""
        self.state, self.state_lost, self.moved = None, True, True


def outcome(
    memory: EpisodeMemory,
    *,
    return_: float | None,
    length: int | None,
    violations: int | None,
    success: bool | None,
    custom: Mapping[str, float],
) -> dict[str, Any] | None:
    """Return the wire message about an ended episode; None when no decision of it can be proven.

    Raises: ValueError for NaN or infinities, for a success that is neither 0 nor 1, and when nothing is told: leave out
        what was not measured.
    """
    told = {"return": return_, "length": length, "violations": violations, "success": success, **custom}
    values = {name: float(value) for name, value in told.items() if value is not None}
    if not values:
        raise ValueError("nothing is told about the episode: give at least one of return_, length, violations, success")
    if bad := [name for name, value in values.items() if not math.isfinite(value)]:
        raise ValueError(f"{', '.join(bad)}: outcomes are finite numbers; leave out what was not measured")
    if values.get("success", 0.0) not in (0.0, 1.0):
        raise ValueError(f"success is {success}, wanted True or False; report a share under another name")
    if memory.receipt is None:
        return None
    return {"receipt": memory.receipt, "outcomes": values, "moved": memory.moved}
