"""The base of every model: camelCase on the wire, a sentence under each field, misspelt fields refused."""

from typing import Any

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
