"""Where a training begins that does not begin from nothing."""

from belay_api.code import ObjectName
from belay_api.model import Model, exactly_one
from belay_api.policy import ArtifactSpec, PinnedPolicy


@exactly_one("initFrom", "keep one: a training begins with the weights of one policy")
class InitFromSpec(Model):
    """A policy whose weights every seed begins with, to go on from it or to tune it for another task."""

    policy: ObjectName | None = None
    """Name of an RLPolicy of the namespace; the job waits while there is none. Its digest is recorded in status when
    the job starts, and counts from then on, whatever becomes of the name."""
    artifact: ArtifactSpec | None = None
    """Its artifact, where it has no RLPolicy here."""


class InitialPolicy(PinnedPolicy):
    """What a training begins with, pinned by digest."""
