"""`logbook`: outcomes of episodes."""

from typing import Annotated, ClassVar

from pydantic import Field

from belay_api.model import Model


class LogbookSource(Model):
    """Outcomes of episodes, as recorded in the logbook."""

    compared: ClassVar[bool] = True

    outcome: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=63)]
    """`return`, `length`, `violations` and `success`, or a custom outcome the client reports."""
