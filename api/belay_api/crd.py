"""Turn the models into CustomResourceDefinitions: `python -m belay_api.crd crds/` writes one file per kind.

Pydantic speaks JSON Schema, Kubernetes a *structural* dialect of OpenAPI v3.0. What differs is mended here: references
are inlined, `null` alternatives dropped (a field is absent instead), numeric exclusive bounds become boolean ones, and
defaults are written where a default object must exist for the defaults inside it to apply.

Inside a list item no default is written. A list is one value to whoever compares it, so with a default in it the object
differs for ever from the manifest it was made of: `kubectl apply` and GitOps would change it again and again. There the
model alone knows the default, and the field's sentence names it.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belay_api.model import Model
from belay_api.names import CATEGORY, GROUP, VERSION
from belay_api.policy import RLPolicySpec, RLPolicyStatus
from belay_api.rollout.progression import RLProgressionSpec
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import RLRolloutStatus
from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus

Schema = dict[str, Any]

NAME_LIMIT = 52
"""Longest name: children are called `<name>-a<attempt>` and pods of a Job add the index, all within 63 characters."""

_NOT_STRUCTURAL = ("title", "additionalProperties", "discriminator")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind, as the API server shall know it."""

    kind: str
    plural: str
    short: str
    spec: type[Model]
    status: type[Model] | None  # None: nobody acts on it alone, and it is named by others
    columns: tuple[Column, ...]
    scale: dict[str, str] | None = None


def _condition(kind: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


RESOURCES = (
    Resource(
        "RLTrainingJob",
        "rltrainingjobs",
        "rltj",
        RLTrainingJobSpec,
        RLTrainingJobStatus,
        (
            Column("Phase", ".status.phase"),
            Column("Progress", ".status.progress.percent", "integer"),
            Column("Return", ".status.aggregate.iqm", "number"),
            Column("Policy", ".status.publishedPolicy"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Algorithm", ".status.algorithm", wide=True),
            Column("Environment", ".spec.environment.id", wide=True),
            Column("Dataset", ".spec.dataset.path", wide=True),
            Column("ETA", ".status.progress.eta", wide=True),
            Column("Cost", ".status.cost.price", "number", wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
        ),
        scale={"specReplicasPath": ".spec.seeds.parallelism", "statusReplicasPath": ".status.running"},
    ),
    Resource(
        "RLPolicy",
        "rlpolicies",
        "rlp",
        RLPolicySpec,
        RLPolicyStatus,
        (
            Column("Ready", _condition("Ready")),
            Column("Reason", _condition("Ready", "reason")),
            Column("Replicas", ".status.readyReplicas", "integer"),
            Column("Verified", _condition("Verified")),
            Column("Validated", _condition("Validated", "reason")),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Digest", ".spec.artifact.digest", wide=True),
            Column("Offline", _condition("EvaluatedOffline", "reason"), wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
        ),
        scale={
            "specReplicasPath": ".spec.serving.scale",  # has a default: an autoscaler reads it from the start
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    ),
    Resource(
        "RLRollout",
        "rlrollouts",
        "rlr",
        RLRolloutSpec,
        RLRolloutStatus,
        (
            Column("Phase", ".status.phase"),
            Column("Stable", ".status.stable.policy"),
            Column("Candidate", ".status.candidate.policy"),
            Column("Weight", ".status.weight.desired", "number"),
            Column("Step", ".status.step.kind"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Ready", _condition("Ready"), wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
        ),
        scale={
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    ),
    Resource(
        "RLProgression",
        "rlprogressions",
        "rlpr",
        RLProgressionSpec,
        None,
        (Column("Age", ".metadata.creationTimestamp", "date"),),
    ),
)


_NAME_RULES = (
    {
        "rule": f"size(self.metadata.name) <= {NAME_LIMIT}",
        "message": f"metadata.name is longer than {NAME_LIMIT} characters: its children's names would not fit; choose "
        "a shorter one",
    },
    {
        "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "message": "metadata.name must start with a letter and have only a-z, 0-9 and '-': a Service is called after "
        "it",
    },
)
"""Of kinds that have children."""


def structural(model: type[Model]) -> Schema:
    """Return the structural schema of a model, with all references inlined."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}))


def _structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    schema = _without_null(schema)
    if "$ref" in schema:
        return _structural(schema, definitions)

    made: Schema = {key: value for key, value in schema.items() if key not in (*_NOT_STRUCTURAL, "$defs")}
    if "properties" in schema:
        made["properties"] = {name: _property(value, definitions) for name, value in schema["properties"].items()}
        if not schema.get("required"):
            made.pop("required", None)
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        made["additionalProperties"] = _structural(values, definitions)
    if "items" in schema:
        made["items"] = _without_defaults(_structural(schema["items"], definitions))
    if "const" in made:
        made |= {"type": "string", "enum": [made.pop("const")]}
    for edge, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if edge in made:
            made |= {bound: made[edge], edge: True}
    if made.get("type") == "integer":
        made["format"] = "int64"
    if "description" in made:
        made["description"] = " ".join(made["description"].split())
    return made


def _property(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    made = _structural(schema, definitions)
    if made.get("default", ...) is None:
        del made["default"]
    if made.get("type") == "object" and isinstance(made.get("default"), dict):
        # An empty object is enough: the defaults inside it apply by themselves. Not where something is required.
        made["default"] = {key: made["default"][key] for key in made.get("required", ())}
    return made


def _without_defaults(schema: Schema) -> Schema:
    made = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in made:
        made["properties"] = {name: _without_defaults(value) for name, value in made["properties"].items()}
    return made


def _without_null(schema: Schema) -> Schema:
    """Drop the `null` alternative of an optional field: in a resource it is absent instead."""
    if "anyOf" not in schema or "x-kubernetes-int-or-string" in schema:
        return schema
    left = [option for option in schema["anyOf"] if option != {"type": "null"}]
    if len(left) != 1:
        raise TypeError(f"a union cannot be structural: {json.dumps(schema)[:200]}")
    return {**left[0], **{key: value for key, value in schema.items() if key != "anyOf"}}


def definition(resource: Resource) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    singular = resource.kind.lower()
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": " ".join((resource.spec.__doc__ or "").split()),
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": structural(resource.spec),
                },
            }
        },
    }
    if resource.status is not None:
        whole = version["schema"]["openAPIV3Schema"]
        whole["properties"]["status"] = structural(resource.status)
        whole["x-kubernetes-validations"] = list(_NAME_RULES)
        version["subresources"] = {"status": {}} | ({"scale": resource.scale} if resource.scale else {})
    version["additionalPrinterColumns"] = [
        {"name": column.name, "type": column.type, "jsonPath": column.path} | ({"priority": 1} if column.wide else {})
        for column in resource.columns
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "belay"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": singular,
                "shortNames": [resource.short],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def render(resource: Resource) -> str:
    """Return the file as text. JSON is YAML, and this room imports no YAML library; one key per line."""
    return json.dumps(definition(resource), indent=1) + "\n"


def main(folder: Path) -> None:
    """Write every definition into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for resource in RESOURCES:
        (folder / f"{GROUP}_{resource.plural}.yaml").write_text(render(resource))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
