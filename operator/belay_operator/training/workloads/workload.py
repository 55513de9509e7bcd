"""The protocol between a training job and whatever runs its pods.

Say what it cannot run, which objects run the pods, and what they tell of each seed. Everything else about a training
(its result, its policy, what status says) is the same whatever runs it.
"""

from typing import Protocol

from belay_api.training import RLTrainingJobSpec
from belay_operator.children import Owner
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Manifest
from belay_operator.training.observed import Observed, WorkloadView


class Workload(Protocol):
    """One way of running a training's seeds."""

    def check(self, owner: Owner, spec: RLTrainingJobSpec) -> None:
        """Raise InvalidSpec for what it cannot run, though the API server let it pass."""

    def view(
        self,
        owner: Owner,
        spec: RLTrainingJobSpec,
        reader: Reader,
        *,
        attempt: int,
        suspended: bool,
        seconds_left: int | None,
    ) -> WorkloadView:
        """Return what runs the attempt's pods now, and what became of each seed.

        Args:
            suspended: No pod is to run.
            seconds_left: How long pods may run, from its start or last resume on; None: there is no limit.
        """

    def objects(self, observed: Observed) -> tuple[Manifest, ...]:
        """Return the objects that run the pods: suspended or not, and as many at once, as the spec says.

        They are applied where they do not exist, and again where only that differs: then they repeat the rest as it
        is, for an operator of another version would make other pods. The ConfigMap that pods read is not among them.
        """
