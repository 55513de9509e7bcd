"""What of an RLTrainingJob may be edited while it is suspended.

It is what gets a job going that does not fit where it is, and changes nothing in what comes out. All else is frozen,
the image as well: a job that cannot pull its own has trained nothing yet, and is created again as easily.
"""

from collections.abc import Iterable
from typing import Any

from belay_api.model import Model, rule

EDITABLE = {
    "runtime": (
        "resources",
        "nodeSelector",
        "tolerations",
        "affinity",
        "serviceAccountName",
        "imagePullSecrets",
        "shm",
    ),
    "budget": ("deadline",),
    "failure": ("retriesPerSeed", "stallTimeout"),
    "checkpoint": ("every", "keep", "grace"),
}
"""Fields of each part of the spec, as a resource spells them."""


def edit_rules(part: str, model: type[Model]) -> list[dict[str, str]]:
    """Return the CEL rules of a part of the spec that has editable fields: they on suspension, the others never.

    Raises: ValueError where EDITABLE names a field that the part does not have.
    """
    fields, editable = [field.alias or name for name, field in model.model_fields.items()], EDITABLE[part]
    if unknown := set(editable) - set(fields):
        raise ValueError(f"{part} has no {sorted(unknown)}")
    frozen = [name for name in fields if name not in editable]
    listed = editable[0] if len(editable) == 1 else f"{', '.join(editable[:-1])} and {editable[-1]}"
    rules = [
        rule(
            f"self.suspend || oldSelf.suspend || ({_same(part, editable)})",
            f"spec.{part}: {listed} may change while the job is suspended: set spec.suspend to true, in the same "
            "change if you like; once it is false again, seeds go on from their checkpoints",
        )
    ]
    if frozen:
        rules.append(
            rule(
                _same(part, frozen),
                f"spec.{part} is frozen but for {listed}: results would not be comparable; create an RLTrainingJob of "
                "another name",
            )
        )
    return rules


def editable(spec: Model) -> dict[str, Any]:
    """Return what may be edited of a spec: a Job that was made of something else is to be made anew.

    What is empty is left out, for a later version's further fields are: an upgrade must not make running Jobs anew.
    """
    said = spec.dump()
    return {part: _filled({name: said[part].get(name) for name in names}) for part, names in EDITABLE.items()}


def _filled(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: inner for name, one in value.items() if (inner := _filled(one)) not in (None, {}, [])}


def _same(part: str, names: Iterable[str]) -> str:
    return " && ".join(
        f"has(self.{part}.{name}) == has(oldSelf.{part}.{name})"
        f" && (!has(self.{part}.{name}) || self.{part}.{name} == oldSelf.{part}.{name})"
        for name in names
    )
