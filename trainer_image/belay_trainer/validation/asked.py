"""Which gates are asked of an artifact that somebody validates by hand."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from belay_api.gates import Gate, Gates, baseline
from belay_api.judging_job import Comparison
from belay_api.model import alternatives
from belay_api.words import did_you_mean
from belay_trainer.errors import BadConfiguration
from belay_trainer.served import Artifact
from belay_trainer.trained_for import config_of

_GATES: TypeAdapter[list[Gate]] = TypeAdapter(Gates)


def gates(artifact: Artifact, path: Path | None, *, compared: bool = False) -> list[Gate]:
    """Return the gates in a file, or those that the policy was trained with.

    Args:
        compared: It is compared with another one, and needs no gates.
    Raises: BadConfiguration naming the first field that is wrong.
    """
    if path is not None:
        return _read(path)
    trained = config_of(artifact)
    if trained is None or not trained.gates:
        if compared:
            return []
        raise BadConfiguration(
            f"policy {artifact.folder} was trained without gates: name a file with --gates, e.g. with the line "
            "`- performance: {minReturn: 450}`."
        )
    return trained.gates


def comparison(gates: list[Gate], against: Path | None, most: str | None) -> Comparison | None:
    """Return how it is held beside the artifact in the folder `against`; None: it is compared with none.

    Args:
        most: How much less it may return, as a resource would say it; None: that is held to nothing.
    Raises: BadConfiguration.
    """
    if against is None:
        if most is not None:
            raise BadConfiguration("--max-regression: less than which policy? Name its artifact with --against.")
        return None
    name = baseline(gates) or against.resolve().name
    try:
        return Comparison.model_validate({"policy": name, **({} if most is None else {"maxRegression": most})})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise BadConfiguration(f"--max-regression is {most!r}: {fault['msg']}.") from error


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
