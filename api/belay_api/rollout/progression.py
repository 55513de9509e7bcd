"""A list of steps that many rollouts share."""

from typing import Annotated

from pydantic import Field

from belay_api.model import Model
from belay_api.rollout.common import Name
from belay_api.rollout.steps import Step


class RLProgressionSpec(Model):
    """A list of steps that RLRollouts of its namespace take by name, in `spec.progression`."""

    steps: Annotated[list[Step], Field(min_length=1, max_length=32)]
    """How a candidate takes over, as in `spec.steps` of an RLRollout. A trial keeps to what they were when it began."""


class ProgressionRef(Model):
    """The RLProgression whose steps are taken."""

    name: Name
    """An RLProgression of this namespace."""
