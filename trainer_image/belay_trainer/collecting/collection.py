"""What is to be collected, as its YAML says it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from belay_api.crd import structural
from belay_api.environment import EnvironmentSpec
from belay_api.model import Model
from belay_trainer.errors import BadConfiguration
from belay_trainer.local.manifest import documents, shape_faults

RANDOM = "random"


class PolicySpec(Model):
    """One policy of a mixture."""

    policy: Annotated[str, Field(min_length=1)]
    """`random`, uniform over all actions; the folder of an artifact; or `package.module:function`, a controller."""
    name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """What its episodes are marked with; unset: `policy`."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """An episode is played by this policy with its weight over all weights as the probability."""
    actions: Literal["greedy", "sampled"] | None = None
    """Of an artifact: its best action, or a drawn one; unset: drawn where it has a distribution."""
    epsilon: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of timesteps whose action is drawn uniformly instead, for actions that can be counted."""

    @property
    def label(self) -> str:
        """What its episodes are marked with."""
        return self.name or self.policy


class CollectionSpec(Model):
    """A collection."""

    environment: EnvironmentSpec
    """As in an RLTrainingJob; `reward` and `vector` mean nothing here."""
    policies: Annotated[list[PolicySpec], Field(min_length=1, max_length=64)]
    """Who plays."""
    episodes: Annotated[int, Field(ge=1, le=10_000_000)]
    """How many episodes."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of all that is drawn."""


def read_collection(path: Path) -> CollectionSpec:
    """Return what a YAML file asks for. Raises: BadConfiguration, naming every field at fault."""
    found = documents(path)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise BadConfiguration(
            f"{path} holds {len(found)} documents, wanted one mapping with environment and policies."
        )
    faults = list(shape_faults(structural(CollectionSpec), found[0], ""))
    if not faults:
        try:
            spec = CollectionSpec.model_validate(found[0])
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, one['loc']))} is {one['input']!r:.60}: {one['msg']}" for one in error.errors()
            ]
        else:
            labels = [one.label for one in spec.policies]
            faults = [
                f"policies: two are called {label!r}, and their episodes could not be told apart: set name"
                for label in sorted(set(labels))
                if labels.count(label) > 1
            ]
    if faults:
        raise BadConfiguration(f"{path} cannot be collected:\n" + "\n".join(f"  {fault}" for fault in faults))
    return spec
