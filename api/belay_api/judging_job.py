"""What a pod that judges a policy reads and says: the question, and its last word.

The question is a file, as a training's configuration is. The answer comes by the termination message, so that it
depends on no other service.
"""

from typing import Annotated, Literal

from pydantic import Field

from belay_api.gates import Confidence, Episodes
from belay_api.judging import GatesSpec, JudgingSpec, OfflineEvaluationSpec, OfflineResult, ValidationResult, asked
from belay_api.model import Model
from belay_api.policy import ArtifactSpec, BaselinePolicy
from belay_api.units import Percent


class Comparison(Model):
    """How a policy is held beside another one that is played from the same starts."""

    policy: str
    """Name of the other one, for sentences."""
    episodes: Episodes = 100
    """To play of each, up to four times as many where these do not tell and the difference is held to something."""
    confidence: Confidence = 0.95
    """Of the interval, and of the verdict."""
    max_regression: Percent | None = None
    """How much less the judged policy may return, as a share of the size of the other's return; unset: the difference
    is told, and held to nothing."""


class AgainstConfig(Comparison):
    """An RLPolicy that is played from the same starts."""

    artifact: ArtifactSpec
    """Its artifact."""
    episodes: Episodes
    """As of any comparison; always said."""
    confidence: Confidence
    """As of any comparison; always said."""


class JudgingConfig(Model):
    """What the pod reads from `names.JOB_FILE`. Exactly one of `validation` and `offlineEvaluation` is set."""

    namespace: str
    """Namespace of all of it."""
    uid: str
    """Of the object that asks: its key proves to the logbook that the pod may leave a report."""
    policy: str
    """Name of the RLPolicy, for sentences."""
    artifact: ArtifactSpec
    """Its artifact."""
    question: str
    """Hash of all that is asked; the answer repeats it."""
    validation: GatesSpec | None = None
    """Gates to run."""
    against: AgainstConfig | None = None
    """Beside `validation`: whom to compare with; unset: nobody."""
    baseline: BaselinePolicy | None = None
    """The RLPolicy that `betterThan` of the gates names; unset: none does."""
    spared: bool = False
    """Whether it would be held to a comparison but is a first version, and so may have no gates at all."""
    offline_evaluation: OfflineEvaluationSpec | None = None
    """Logged episodes to judge by."""

    @property
    def asked(self) -> JudgingSpec:
        """What both kinds have. Raises: ValueError where nothing is asked."""
        return asked(self.validation, self.offline_evaluation)


class JudgingReport(Model):
    """The pod's last word, as JSON of at most 4,096 bytes."""

    model_config = {"extra": "ignore"}

    outcome: Literal["Judged", "BadConfiguration", "Interrupted", "Error"]
    """Judged (exit 0), whatever the verdict; BadConfiguration (3); Interrupted by SIGTERM; Error: retry."""
    message: Annotated[str, Field(max_length=2048)] = ""
    """What went wrong, for people."""
    validation: ValidationResult | None = None
    """What came of the gates."""
    offline_evaluation: OfflineResult | None = None
    """What logged episodes say."""
