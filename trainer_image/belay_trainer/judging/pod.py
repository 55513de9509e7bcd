"""What a judging pod is asked and where it finds things, and what it leaves behind."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import ValidationError

from belay_api.judging import Reports
from belay_api.judging_job import JudgingConfig
from belay_api.policy import ArtifactSpec
from belay_trainer.errors import BadConfiguration
from belay_trainer.fetched import Source, reader, store_of
from belay_trainer.publish import kept
from belay_trainer.served import Artifact, read_served
from belay_trainer.stop import Stop

FORMS = ("html", "json", "markdown")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JudgingPod:
    """One question, and the way to whatever it needs."""

    config: JudgingConfig
    work_dir: Path  # scratch
    artifact_dir: Path  # where the claim is mounted that the artifact lies on
    against_dir: Path  # and the claim of the one that it is compared with
    baseline_dir: Path  # and the claim of the one that its gates compare with
    logbook: httpx.Client | None  # None: this pod knows none
    stop: Stop

    def artifact(self) -> Artifact:
        """Return the policy's artifact, every byte that is read of it checked.

        Raises: BadConfiguration, Unreachable, Interrupted.
        """
        return self._fetched(self.config.policy, self.config.artifact, self.artifact_dir, folder="policy")

    def other(self) -> Artifact | None:
        """Return the artifact that it is compared with; None: there is none. Raises: as `artifact`."""
        against = self.config.against
        if against is None:
            return None
        return self._fetched(against.policy, against.artifact, self.against_dir, folder="against")

    def baseline(self) -> Artifact | None:
        """Return the artifact that its gates compare with; None: there is none. Raises: as `artifact`."""
        pinned = self.config.baseline
        if pinned is None:
            return None
        artifact = ArtifactSpec(uri=pinned.uri, digest=pinned.digest)
        return self._fetched(str(pinned.policy), artifact, self.baseline_dir, folder="baseline")

    def _fetched(self, policy: str, asked: ArtifactSpec, claim: Path, *, folder: str) -> Artifact:
        store = store_of(self.logbook, namespace=self.config.namespace, owner=self.config.uid)
        read = reader(asked.uri, claim, field="artifact", logbook=store)
        Source("artifact", f"RLPolicy {policy}", asked.digest, read).fetch(self.work_dir / folder, self.stop)
        return read_served(self.work_dir / folder, digest=asked.digest)

    def keep(self, documents: Mapping[str, Callable[[], bytes]]) -> Reports | None:
        """Keep a report and return where; None: there is no logbook to keep it.

        Args:
            documents: What makes each of `FORMS`.
        Raises: StoreRefused, Interrupted.
        """
        store = store_of(self.logbook, namespace=self.config.namespace, owner=self.config.uid)
        if store is None:
            log.warning("the report is kept nowhere: this pod knows no logbook")
            return None
        found = {}
        for form in FORMS:
            content = documents[form]()
            found[form] = kept(f"the report as {form}", lambda c=content: store.keep("report", c), self.stop)
        return Reports(**found)


def read_config(path: Path) -> JudgingConfig:
    """Return what this pod is asked. Raises: BadConfiguration."""
    try:
        config = JudgingConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read: {error}. Only a Job of Belay's runs this command.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadConfiguration(
            f"{where}: {first['msg']}. Trainer and operator must be of one version: check runtime.image."
        ) from error
    if (config.validation is None) == (config.offline_evaluation is None):
        raise BadConfiguration(f"{path} asks not exactly one thing: trainer and operator must be of one version.")
    return config
