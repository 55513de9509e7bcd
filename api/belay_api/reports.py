"""What a training pod leaves in its termination message: its report, or where the reports lie that do not fit there.

The kubelet keeps 4,096 bytes of a message, which is room for the report of one seed. A pod that trains many seeds puts
their reports into one document, a JSON list of TrainingReport, and leaves its digest:

    {"reports": {"uri": "store://sha256/<hex>", "digest": "sha256:<hex>", "size": 73211}}

Who reads the document decides nothing before its bytes have that digest (docs/decisions/031).
"""

from typing import Annotated

from pydantic import Field, TypeAdapter

from belay_api.model import StatusModel
from belay_api.policy import ArtifactDigest, ArtifactUri
from belay_api.training import TrainingReport

MOST_BYTES = 1000 * 4096  # of a document: as many seeds as a job may have, each as long as a termination message


class ReportsRef(StatusModel):
    """Where the reports of a pod lie."""

    uri: ArtifactUri
    """`store://sha256/<hex>`, or `pvc://<claim>/<path>`."""
    digest: ArtifactDigest
    """`sha256:<hex>` of the document's bytes."""
    size: Annotated[int, Field(ge=1, le=MOST_BYTES)]
    """Of the document, in bytes: nobody begins to read what could not end."""


class _Reference(StatusModel):
    reports: ReportsRef


_LastWord = Annotated[_Reference | TrainingReport, Field(union_mode="left_to_right")]
_LAST_WORD: TypeAdapter[_LastWord] = TypeAdapter(_LastWord)


def read_reports(message: str) -> tuple[TrainingReport, ...] | ReportsRef:
    """Return the reports in a termination message, or where they lie. Raises: ValueError for one that is neither."""
    said = _LAST_WORD.validate_json(message)
    return said.reports if isinstance(said, _Reference) else (said,)
