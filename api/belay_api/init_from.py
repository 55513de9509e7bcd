"""Where a training begins that does not begin from nothing."""

from belay_api.code import ObjectName
from belay_api.model import Model, StatusModel, exactly_one
from belay_api.policy import ArtifactDigest, ArtifactSpec, ArtifactUri


@exactly_one("initFrom", "keep one: a training begins with the weights of one policy")
class InitFromSpec(Model):
    """A policy whose weights every seed begins with, to go on from it or to tune it for another task."""

    policy: ObjectName | None = None
    """Name of an RLPolicy of the namespace; the job waits while there is none. Its digest is recorded in status when
    the job starts, and counts from then on, whatever becomes of the name."""
    artifact: ArtifactSpec | None = None
    """Its artifact, where it has no RLPolicy here."""


class InitialPolicy(StatusModel):
    """What a training begins with, pinned by digest."""

    policy: str | None = None
    """Name that the RLPolicy had; absent: the artifact was named itself."""
    uri: ArtifactUri | None = None
    """Where the artifact lies; absent in a run on one machine, which is given a folder."""
    digest: ArtifactDigest
    """`sha256:<hex>` of its canonical manifest: every byte that is read of it is checked first."""

    @property
    def title(self) -> str:
        """What sentences call it."""
        return f"RLPolicy {self.policy}" if self.policy else f"the policy {self.digest[:19]}…"
