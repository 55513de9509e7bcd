"""`pause`: wait."""

from belay_api.model import Model
from belay_api.units import Duration


class PauseStep(Model):
    """Wait."""

    duration: Duration | None = None
    """How long. Unset: until the command `resume`."""
