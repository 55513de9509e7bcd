"""What a training costs: what its pods hold of the cluster, times how long, times a rate."""

from typing import Annotated

from pydantic import Field

from belay_api.model import Model, StatusModel
from belay_api.units import Instant

Rate = Annotated[float, Field(ge=0)]


class Rates(Model):
    """What an hour of each resource costs, requested is paid: what a pod requests, nobody else can have."""

    cpu_hour: Rate | None = None
    """Price of one CPU for an hour."""
    gpu_hour: Rate | None = None
    """Price of one GPU for an hour; a part of one that the cluster counts as a piece is one."""
    memory_gib_hour: Rate | None = None
    """Price of one GiB of memory for an hour."""
    currency: Annotated[str, Field(min_length=1, max_length=8)] | None = None
    """What prices are in, such as EUR; for people."""


class CostSpec(Rates):
    """What the job's hours cost, and how much it may cost. May change at any time. A rate that is unset is the
    installation's; with a `currency` it is 0, for prices of two currencies cannot be added."""

    budget: Annotated[float, Field(gt=0)] | None = None
    """Price at which all pods are asked to save and go; raised, the job goes on from its checkpoints. Unset: none."""


class Usage(StatusModel):
    """What pods held, from when a node took them to their end, of what they request."""

    cpu_seconds: float = 0.0
    """CPUs times seconds."""
    gpu_seconds: float = 0.0
    """GPUs times seconds."""
    memory_gib_hours: float = 0.0
    """GiB of memory times hours."""
    price: float | None = None
    """At today's rates; absent: none is set."""


class SeedCost(Usage):
    """The cost of one seed so far, of all its attempts."""

    counted_until: Instant
    """What was held up to here is counted: of pods at work each minute, of others to their end."""


class WorkerCost(SeedCost):
    """The cost of one place of the search so far, of all pods that worked there."""

    index: int
    """Its place in the search's Job."""


class JobCost(Usage):
    """The cost so far of all seeds, and of the search before them."""

    currency: str | None = None
    """What prices are in."""
    price_per_point: float | None = None
    """Price of each point of return that the best seed has above random actions; absent: it has none, or they were not
    measured."""
