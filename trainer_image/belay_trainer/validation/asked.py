"""What is asked of an artifact that somebody validates by hand: which gates, and in which environment."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from belay_api.gates import Gate, Gates
from belay_api.model import alternatives
from belay_api.training import EnvironmentSpec, RLTrainingJobSpec
from belay_api.words import did_you_mean
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import CONFIG
from belay_trainer.served import Artifact

_GATES: TypeAdapter[list[Gate]] = TypeAdapter(Gates)


def task(artifact: Artifact, *, id: str | None, kwargs: dict[str, Any] | None) -> EnvironmentSpec:
    """Return where the policy is validated.

    Args:
        id: As named by hand; None: where the policy was trained, or measured.
        kwargs: Of `gymnasium.make`; None: as it was trained, or none where it is another environment.
    Raises: BadConfiguration when nothing says where.
    """
    trained = _config(artifact)
    if trained is not None and id in (None, trained.environment.id):
        found = trained.environment
        return found if kwargs is None else found.model_copy(update={"kwargs": kwargs, "reward_range": None})
    wanted = id or artifact.manifest.environment
    if wanted is None:
        raise BadConfiguration(
            f"policy {artifact.folder} was imported without an environment: name one with --environment."
        )
    return EnvironmentSpec(id=wanted, kwargs=kwargs or {})


def gates(artifact: Artifact, path: Path | None) -> list[Gate]:
    """Return the gates in a file, or those that the policy was trained with.

    Raises: BadConfiguration naming the first field that is wrong.
    """
    if path is not None:
        return _read(path)
    trained = _config(artifact)
    if trained is None or not trained.gates:
        raise BadConfiguration(
            f"policy {artifact.folder} was trained without gates: name a file with --gates, e.g. with the line "
            "`- performance: {minReturn: 450}`."
        )
    return trained.gates


def _config(artifact: Artifact) -> RLTrainingJobSpec | None:
    """Return what was asked of the training; None: it was none of ours."""
    path = artifact.folder / CONFIG
    if CONFIG not in {entry.path for entry in artifact.manifest.files}:
        return None
    try:
        return RLTrainingJobSpec.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadConfiguration(
            f"policy {artifact.folder}: {CONFIG} is of another version of Belay: name --environment and --gates."
        ) from error


def _read(path: Path) -> list[Gate]:
    try:
        said = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadConfiguration(f"--gates: {path} cannot be read: {' '.join(str(error).split())}") from error
    for key in ("spec", "gates"):
        if isinstance(said, dict) and key in said:
            said = said[key]
    if not isinstance(said, list) or not said:
        raise BadConfiguration(f"--gates: {path} has no list of gates, such as `- performance: {{minReturn: 450}}`.")
    for place, one in enumerate(said):
        _check_kind(f"--gates: gates[{place}]", one)
    try:
        return _GATES.validate_python(said)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
        raise BadConfiguration(f"--gates: gates{where} is {fault['input']!r:.60}: {fault['msg']}.") from error


def _check_kind(where: str, said: Any) -> None:
    kinds = alternatives(Gate)
    if not isinstance(said, dict) or len(said) != 1:
        raise BadConfiguration(f"{where} is {said!r:.60}, wanted exactly one of {', '.join(kinds)}, with its limits.")
    (kind,) = said
    if kind not in kinds:
        raise BadConfiguration(f"{where}: there is no gate {kind!r}; {did_you_mean(str(kind), kinds)}")
