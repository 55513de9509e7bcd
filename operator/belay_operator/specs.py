"""Read a spec, and say what is wrong with it in a sentence that a condition can carry."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Spec = TypeVar("Spec", bound=BaseModel)


class InvalidSpec(ValueError):
    """A spec that the API server let pass and that cannot be carried out; the message names the field."""


CORRECTED = "Nothing is changed until the spec is corrected."


def read_spec(model: type[Spec], body: Mapping[str, Any], *, advice: str = CORRECTED) -> Spec:
    """Return the spec of an object.

    Args:
        advice: What is done meanwhile, and what can be done: where the spec is frozen it cannot be corrected.
    Raises: InvalidSpec naming every field at fault, in one line.
    """
    try:
        return model.model_validate(body.get("spec") or {})
    except ValidationError as error:
        # A rule about the spec as a whole names its field itself.
        faults = "; ".join(
            f"spec.{'.'.join(map(str, fault['loc']))}: {fault['input']!r:.60}: {fault['msg']}"
            if fault["loc"]
            else f"spec.{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_url=False, include_context=False)
        )
        raise InvalidSpec(f"{faults}. {advice}") from error
