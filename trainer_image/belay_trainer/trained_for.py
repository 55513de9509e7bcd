"""What an artifact says of its training: what was asked of it, and in which environment its policy acts."""

import json
from typing import Any

from pydantic import ValidationError

from belay_api.environment import EnvironmentSpec
from belay_api.training import RLTrainingJobSpec
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import CONFIG
from belay_trainer.served import Artifact


def config_of(artifact: Artifact) -> RLTrainingJobSpec | None:
    """Return what was asked of the training; None: it was none of ours. Raises: BadConfiguration."""
    if CONFIG not in {entry.path for entry in artifact.manifest.files}:
        return None
    try:
        return RLTrainingJobSpec.model_validate_json((artifact.folder / CONFIG).read_bytes())
    except ValidationError as error:
        raise BadConfiguration(
            f"policy {artifact.folder}: {CONFIG} is of another version of Belay: name --environment and --gates."
        ) from error


def task_of(artifact: Artifact, *, id: str | None, kwargs: dict[str, Any] | None) -> EnvironmentSpec:
    """Return where the policy of an artifact acts.

    Args:
        id: As named by hand; None: where the policy was trained, or measured.
        kwargs: Of `gymnasium.make`; None: as it was trained, or none where it is another environment.
    Raises: BadConfiguration when nothing says where.
    """
    trained = config_of(artifact)
    played_in = None if trained is None else trained.played_in
    if played_in is not None and id in (None, played_in.id):
        return played_in if kwargs is None else played_in.model_copy(update={"kwargs": kwargs, "reward_range": None})
    wanted = id or artifact.manifest.environment
    if wanted is None:
        raise BadConfiguration(f"policy {artifact.folder} names no environment: name one with --environment.")
    return EnvironmentSpec(id=wanted, kwargs=kwargs or {})


def read_kwargs(text: str | None) -> dict[str, Any] | None:
    """Return what somebody typed behind --environment-kwargs. Raises: BadConfiguration."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadConfiguration(f"--environment-kwargs is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadConfiguration(f'--environment-kwargs is {text}, wanted an object such as {{"length": 0.7}}.')
    return found
