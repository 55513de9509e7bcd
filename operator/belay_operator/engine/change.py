"""One change of a cached object, as the cache's listeners and the kinds' predicates get it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """What an object was and what it is; a predicate compares the two and wakes only whom the difference concerns."""

    kind: str
    before: Mapping[str, Any] | None  # None: it is new
    after: Mapping[str, Any] | None  # None: it was deleted

    @property
    def sides(self) -> tuple[Mapping[str, Any], ...]:
        """The versions there are, the older one first."""
        return tuple(side for side in (self.before, self.after) if side is not None)

    @property
    def latest(self) -> Mapping[str, Any]:
        """The object as it is, or as it last was."""
        return self.sides[-1]

    @property
    def name(self) -> tuple[str, str]:
        """Namespace and name."""
        meta = self.latest["metadata"]
        return meta["namespace"], meta["name"]
