"""The base of every model: camelCase on the wire, a sentence under each field, misspelt fields refused."""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A resource part. Field docstrings are the CRD descriptions and the reference page: there is no second copy."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    def dump(self) -> dict[str, Any]:
        """Return the model as the API server stores it: camelCase keys, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def said(self) -> dict[str, Any]:
        """Return what `dump` returns, without the values that are defaults."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


class StatusModel(Model):
    """A part of a status. A newer operator may have written fields that this one does not know: they are dropped."""

    model_config = ConfigDict(extra="ignore")


def rule(expression: str, message: str, *, field: str | None = None) -> dict[str, str]:
    """Return one CEL validation for `x-kubernetes-validations`; `message` says what to do."""
    made = {"rule": expression, "message": message}
    return made | {"fieldPath": field} if field else made


def rules(*validations: dict[str, str]) -> dict[str, Any]:
    """Return the `json_schema_extra` that carries `validations` into the CRD."""
    return {"x-kubernetes-validations": list(validations)}


Union = TypeVar("Union", bound=Model)


def exactly_one(what: str, advice: str) -> Callable[[type[Union]], type[Union]]:
    """Return the class decorator of a model of which exactly one field is set; the CEL rule follows from its fields.

    Args:
        what: The model for people, e.g. `a step`.
        advice: What to do instead, e.g. `make one list entry of each`.
    """

    def decorate(model: type[Union]) -> type[Union]:
        names = alternatives(model)
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        made = rule(
            f"[{', '.join(f'has(self.{name})' for name in names)}].exists_one(x, x)",
            f"{what} has exactly one of {listed}: {advice}",
        )
        model.model_config["json_schema_extra"] = rules(made)
        return model

    return decorate


def alternatives(model: type[Model]) -> list[str]:
    """Return the fields of a model as a resource spells them, in the order of the model."""
    return [field.alias or name for name, field in model.model_fields.items()]


def chosen(value: Model) -> str:
    """Return which field of an `exactly_one` model is set, as a resource spells it. Raises: ValueError for none."""
    for name, field in type(value).model_fields.items():
        if getattr(value, name) is not None:
            return field.alias or name
    raise ValueError(f"none of {', '.join(alternatives(type(value)))} is set")
