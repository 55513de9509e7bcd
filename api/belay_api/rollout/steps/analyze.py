"""`analyze`: wait for the verdict."""

from typing import Literal

from belay_api.model import Model
from belay_api.units import Duration


class AnalyzeStep(Model):
    """Wait for the verdict."""

    until: Literal["NonInferior"] = "NonInferior"
    """Every metric without dryRun must pass: evidence that the candidate is not worse by as much as its allowed
    regression. Unset: NonInferior."""
    timeout: Duration | None = None
    """Instead of analysis.onNotEnoughSamples.after for this step."""
