"""What is asked of which bytes: the same question has the same hash, whoever asks it and whenever."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from belay_api.content import content_hash
from belay_api.judging import GatesSpec, JudgingSpec, OfflineEvaluationSpec, asked
from belay_api.judging_job import AgainstConfig, JudgingConfig
from belay_api.policy import ArtifactSpec, BaselinePolicy
from belay_operator.children import Owner

_UNASKED = ("required", "retries", "deadline", "stallTimeout")
"""What of a spec decides nothing about the answer: who changes it asks nothing new."""


@dataclass(frozen=True)
class Question:
    """One question about one policy: exactly one of `validation` and `offline_evaluation` is set."""

    policy: str  # name of the RLPolicy, for sentences
    artifact: ArtifactSpec
    validation: GatesSpec | None = None
    offline_evaluation: OfflineEvaluationSpec | None = None
    against: AgainstConfig | None = None  # whom it is compared with, beside `validation`; None: nobody
    spared: bool = False  # it would be held to a comparison, and there is nobody to compare it with
    baseline: BaselinePolicy | None = None  # that gates compare with; None: with no RLPolicy, or it is waited for
    attempt: int = 0  # how often it was asked before, and is asked anew by a person's wish

    @property
    def asked(self) -> JudgingSpec:
        """What both kinds have."""
        return asked(self.validation, self.offline_evaluation)

    @cached_property
    def hash(self) -> str:
        """Of the bytes and of all that is asked, as far as it was said: a default that a later version has is none."""
        said = {name: value for name, value in self.asked.said().items() if name not in _UNASKED}
        field = "validation" if self.validation is not None else "offlineEvaluation"
        content: dict[str, Any] = {"digest": self.artifact.digest, field: said}
        if self.against is not None:
            compared = {
                name: value for name, value in self.against.said().items() if name not in ("policy", "artifact")
            }
            content["against"] = {"digest": self.against.artifact.digest, **compared}
        if self.baseline is not None:
            content["baseline"] = self.baseline.digest
        if self.attempt:
            content["attempt"] = self.attempt
        return content_hash(content)

    def config(self, owner: Owner) -> JudgingConfig:
        """Return what the pod of a Job of `owner` reads."""
        return JudgingConfig(
            namespace=owner.namespace,
            uid=owner.uid,
            policy=self.policy,
            artifact=self.artifact,
            question=self.hash,
            validation=self.validation,
            against=self.against,
            baseline=self.baseline,
            spared=self.spared,
            offline_evaluation=self.offline_evaluation,
        )
