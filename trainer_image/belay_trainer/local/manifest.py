"""An RLTrainingJob from the very YAML that `kubectl apply` takes, held to what the API server would hold it to.

Three looks, each at what the ones before let pass: does every field exist and have the right type (by the schema of the
CRD, for the models alone would also take Python's spelling of a name, and numbers in quotes) · do the models take the
values · are the rules kept. Every fault of a look is told, so that a file is corrected in one go.
"""

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from belay_api.crd import RESOURCES, definition
from belay_api.names import API_VERSION
from belay_api.training import RLTrainingJobSpec
from belay_api.words import nearest
from belay_trainer.errors import BadConfiguration
from belay_trainer.local.rules import twin

KIND = "RLTrainingJob"
UNUSED = ("storage", "failure.retriesPerSeed", "suspend", "publish.serving", "cost", "cleanup")
"""Fields of a spec that only a cluster has a use for; beside them all of `runtime` but `USED_OF_RUNTIME`."""
USED_OF_RUNTIME = ("threads",)
_MOST_NAMES = 12  # listed where none is near
_ELSEWHERE = {
    "n_envs": "spec.environment.vector.count",
    "num_envs": "spec.environment.vector.count",
    "env_wrapper": "spec.environment.wrappers",
    "frame_stack": "spec.environment.wrappers",
    "normalize": "spec.normalize",
    "total_timesteps": "spec.budget.steps",
    "n_timesteps": "spec.budget.steps",
    "seed": "spec.seeds.first",
    "lr": "learning_rate",
    "exploration_fraction": "exploration_steps, in timesteps",
    "target_update_interval": "target_update_gradient_steps, counted in gradient steps",
}
"""Words of Stable-Baselines3 and its Zoo in the settings of an algorithm, and where it is said here."""
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "integer": ((int, float), "a number without quotes"),
    "number": ((int, float), "a number without quotes"),
    "boolean": ((bool,), "true or false without quotes"),
    "string": ((str,), "text: put it in quotes"),
    "object": ((dict,), "fields of its own: `name: value`, or {} for none"),
    "array": ((list,), "a list: `[...]`, or a line with `- ` for each entry"),
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One RLTrainingJob as its author wrote it."""

    name: str
    namespace: str
    spec: RLTrainingJobSpec
    unchecked: tuple[str, ...]  # fields that were set, are used here, and have a rule that only an API server judges
    unused: tuple[str, ...]  # fields that were set and mean nothing here; their rules are not judged either


def read_manifest(path: Path, *, name: str | None = None) -> Manifest:
    """Return the RLTrainingJob in a file.

    Args:
        name: Which, where the file has several; None: it has one.
    Raises: BadConfiguration naming every fault.
    """
    body = _chosen(documents(path), path, name)
    schema = definition(next(kind for kind in RESOURCES if kind.kind == KIND))
    schema = schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    _refuse(path, shape_faults(schema, body, ""))
    spec = _spec(path, schema, body)
    whole = {**body, "spec": spec.dump()}
    _refuse(path, _broken_rules(schema, body, whole, ""))
    said = body["spec"]
    unused = tuple(f"spec.{field}" for field in (*UNUSED, *_of_runtime(said)) if _at(said, field))
    return Manifest(
        name=body["metadata"]["name"],
        namespace=body["metadata"].get("namespace") or "default",
        spec=spec,
        unchecked=tuple(
            path
            for path in dict.fromkeys(_unchecked(schema["properties"]["spec"], said, "spec"))
            if not path.startswith(("spec.runtime", *unused))
        ),
        unused=unused,
    )


def _refuse(path: Path, faults: Iterator[str]) -> None:
    found = list(faults)
    if found:
        raise BadConfiguration(f"{path} cannot be trained:\n" + "\n".join(f"  {fault}" for fault in found))


# --- which object -----------------------------------------------------------------------------------------------------
class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: `1e-3` is a number, `2026-05-04` is text, and no key stands twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands twice in one mapping: keep one", node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def documents(path: Path) -> list[Any]:
    """Return what stands in a YAML file, without empty documents. Raises: BadConfiguration."""
    try:
        text = path.read_text(encoding="utf-8")
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise BadConfiguration(f"{path} is no YAML: {' '.join(str(error).split())}.") from error


def _chosen(documents: list[Any], path: Path, name: str | None) -> dict[str, Any]:
    objects = [one for one in documents if isinstance(one, dict)]
    jobs = [one for one in objects if one.get("kind") == KIND]
    if not jobs:
        kinds = ", ".join(sorted({str(one.get("kind")) for one in objects})) or "nothing"
        raise BadConfiguration(f"{path} has no object of kind {KIND}, but {kinds}.")
    for job in jobs:
        if job.get("apiVersion") != API_VERSION:
            raise BadConfiguration(f"{path}: apiVersion is {job.get('apiVersion')!r}, wanted {API_VERSION}.")
        if not isinstance(job.get("metadata"), dict) or not isinstance(job["metadata"].get("name"), str):
            raise BadConfiguration(f"{path}: metadata.name is missing: the run and its policies are called after it.")
    by_name = {job["metadata"]["name"]: job for job in jobs}
    if name is None and len(jobs) > 1:
        raise BadConfiguration(f"{path} has {len(jobs)} {KIND}s: choose with --name, of {', '.join(by_name)}.")
    if name is not None and name not in by_name:
        raise BadConfiguration(f"--name {name}: {path} has no such {KIND}, but {', '.join(by_name)}.")
    found: dict[str, Any] = jobs[0] if name is None else by_name[name]
    return found


# --- what is wrong with it --------------------------------------------------------------------------------------------
def shape_faults(schema: Mapping[str, Any], said: Any, path: str) -> Iterator[str]:
    """Yield what does not exist or is of another type."""
    if said is None:
        return  # the API server drops it
    wanted = _TYPES.get(schema.get("type", ""))
    if wanted is not None and (
        not isinstance(said, wanted[0]) or (isinstance(said, bool) and schema["type"] != "boolean")
    ):
        yield f"{path or 'the object'} is {said!r:.60}, wanted {wanted[1]}"
        return
    if isinstance(said, dict):
        yield from _field_faults(schema, said, path)
    elif isinstance(said, list) and "items" in schema:
        for place, item in enumerate(said):
            yield from shape_faults(schema["items"], item, f"{path}[{place}]")


def _field_faults(schema: Mapping[str, Any], said: Mapping[Any, Any], path: str) -> Iterator[str]:
    fields, values = schema.get("properties"), schema.get("additionalProperties")
    for key, value in said.items():
        here = f"{path}.{key}".lstrip(".")
        if fields is not None and key in fields:
            yield from shape_faults(fields[key], value, here)
        elif fields is not None:
            yield f"{here} is no field{_elsewhere(here) or _advice(str(key), list(fields))}"
        elif isinstance(values, dict):
            yield from shape_faults(values, value, here)
    for key in schema.get("required", ()):
        if said.get(key) is None:
            yield f"{path}.{key} is missing".lstrip(".")


def _elsewhere(path: str) -> str:
    """Return the end of a sentence for whoever comes from the library; empty: it has no such word."""
    *inside, key = path.split(".")
    field = _ELSEWHERE.get(key) if inside[:2] == ["spec", "algorithm"] else None
    return f": that is {field}" if field else ""


def _advice(key: str, names: list[str]) -> str:
    """Return the end of a sentence that helps whoever misspelt a field."""
    near = nearest(to_camel(key), names) or nearest(key, names)
    if near:
        return f": did you mean {near}?"
    return f"; there are {', '.join(names[:_MOST_NAMES])}{' …' if len(names) > _MOST_NAMES else ''}"


def _spec(path: Path, schema: Mapping[str, Any], body: Mapping[str, Any]) -> RLTrainingJobSpec:
    try:
        return RLTrainingJobSpec.model_validate(body["spec"])
    except ValidationError as error:
        _refuse(path, map(_told, error.errors(include_url=False, include_context=False)))
        raise  # an error without a fault is one of pydantic's own


def _told(fault: Mapping[str, Any]) -> str:
    """Return what a model refused, as `_broken_rules` tells it."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
    if fault["type"] != "value_error":
        return f"spec{place} is {fault['input']!r:.60}: {fault['msg']}"
    said = fault["msg"].removeprefix("Value error, ")
    return f"spec{place}: {said}" if place else f"spec.{said}"  # a rule about the spec as a whole names its field


def _broken_rules(schema: Mapping[str, Any], said: Any, whole: Any, path: str) -> Iterator[str]:
    """Yield the message of every rule that is not kept.

    Args:
        said: As written; None: not at all.
        whole: With defaults.
    """
    if not isinstance(whole, dict | list):
        return
    seen = whole
    if isinstance(whole, dict):
        seen = {**whole, **{key: value for key, value in _mapping(said).items() if value is not None}}
    for rule in _rules(schema):
        keeps = twin(rule["rule"])
        if keeps is not None and not keeps(seen):
            yield f"{path}: {rule['message']}".removeprefix(": ")
    for schema_of, key, value in _inside(schema, whole):
        if isinstance(whole, list):
            yield from _broken_rules(schema_of, said[key] if said else None, value, f"{path}[{key}]")
        else:
            yield from _broken_rules(schema_of, _mapping(said).get(key), value, f"{path}.{key}".lstrip("."))


def _inside(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[Mapping[str, Any], Any, Any]]:
    """Yield schema, key or place, and value of everything inside a mapping or a list."""
    if isinstance(value, list):
        yield from ((schema.get("items", {}), place, item) for place, item in enumerate(value))
        return
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    yield from ((fields[key], key, inner) for key, inner in value.items() if key in fields)
    if isinstance(others, dict):
        yield from ((others, key, inner) for key, inner in value.items() if key not in fields)


def _unchecked(schema: Mapping[str, Any], said: Any, path: str) -> Iterator[str]:
    """Yield the fields that were set and have a rule without a twin."""
    if said in (None, {}, []):
        return
    if any(twin(rule["rule"]) is None for rule in _rules(schema)):
        yield path
    if isinstance(said, dict | list):
        for schema_of, key, inner in _inside(schema, said):
            yield from _unchecked(schema_of, inner, path if isinstance(said, list) else f"{path}.{key}")


def _rules(schema: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the rules about an object as it is; those about a change of it have nothing to judge here."""
    return [rule for rule in schema.get("x-kubernetes-validations", ()) if "oldSelf" not in rule["rule"]]


def _of_runtime(said: Mapping[str, Any]) -> list[str]:
    return [f"runtime.{key}" for key in _mapping(said.get("runtime")) if key not in USED_OF_RUNTIME]


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _at(said: Any, path: str) -> Any:
    for key in path.split("."):
        said = _mapping(said).get(key)
    return said
