"""Rollouts that do not all try a candidate at once."""

from typing import Annotated

from pydantic import Field

from belay_api.model import Model, StatusModel
from belay_api.rollout.common import Name
from belay_api.units import Instant


class GroupSpec(Model):
    """A group of rollouts of one namespace, of which only some have a candidate at once."""

    name: Name
    """Of the group: every rollout of the namespace that says so is in it."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 1
    """This rollout takes up no candidate while so many others of the group have one. Each holds to its own number."""


class GroupStatus(StatusModel):
    """A place in a group: asked for, or taken until the trial has ended."""

    name: str
    """Of the group."""
    asked_at: Instant
    """When there was a candidate to take up: who asked first goes first."""
    granted_at: Instant | None = None
    """When the place was taken; unset: it is waited for."""
