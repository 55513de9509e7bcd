"""An algorithm of the user's own."""

from typing import Annotated, ClassVar

from pydantic import Field

from belay_api.model import Model, rule, rules
from belay_api.units import FreeForm

ENTRYPOINT_RULE = "self.entrypoint.matches('^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$')"


class CustomSettings(Model):
    """An algorithm of your own, written against `belay_trainer.algorithm`; its module comes by `runtime.code`,
    `runtime.packages` or the image."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                ENTRYPOINT_RULE,
                "algorithm.custom.entrypoint is package.module:function, such as my_algorithm:Reinforce: the module "
                "that has it, a colon, and a function or class",
            )
        )
    }

    masked: ClassVar[bool] = False

    entrypoint: Annotated[str, Field(max_length=253)]
    """`package.module:function`: what returns a `belay_trainer.algorithm.Algorithm`, such as a class of that kind. It
    is called with the task and `kwargs`."""
    kwargs: FreeForm = Field(default_factory=dict)
    """Its keyword arguments."""
