"""A policy's surroundings: rollouts that name it, the Deployment controller, and pods that read its artifact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.policy.given import CHANGED, GOOD, NAME, pod, policy, rollout
from tests.world import START, World, key_of

from belay_operator.policy.observe import KIND

Json = dict[str, Any]


@dataclass
class Cluster:
    """One policy, its operator, and the rest of the cluster."""

    world: World = field(default_factory=lambda: World([policy()]))

    def __post_init__(self) -> None:
        self.key = key_of(self.world.objects["RLPolicy", "default", NAME])

    # --- the operator -------------------------------------------------------------------------------------------------
    def look(self, effects: int | None = None) -> None:
        """One pass, which may die after some effects."""
        self.world.reconcile(KIND, self.key, now=START, effects=effects)

    @property
    def status(self) -> Json:
        status: Json = self.world.objects["RLPolicy", "default", NAME].get("status", {})
        return status

    def condition(self, kind: str) -> Json:
        said: Json = next(c for c in self.status["conditions"] if c["type"] == kind)
        return said

    def child(self, kind: str) -> Json | None:
        return self.world.objects.get((kind, "default", NAME))

    # --- the world ----------------------------------------------------------------------------------------------------
    def name_it(self, who: str, replicas: int, sides: Mapping[str, Any]) -> None:
        """A rollout's status names the policy, or no longer does."""
        self.world.put(rollout(who, replicas=replicas, **sides))

    def scale(self, replicas: int | None) -> None:
        """`kubectl scale`, or its withdrawal."""
        self.world.patch("RLPolicy", NAME, {"spec": {"serving": {"replicas": replicas}}})

    def roll(self, *, good: bool) -> None:
        """The Deployment controller makes the pods asked for, and each reads the artifact."""
        for key in [key for key in self.world.objects if key[0] == "Pod"]:
            del self.world.objects[key]
        deployment = self.child("Deployment")
        if deployment is None:
            return
        wanted = deployment["spec"]["replicas"]
        for number in range(wanted):
            self.world.put(pod(number, report=GOOD if good else CHANGED, ready=good, failed_fetch=not good))
        generation = deployment["metadata"]["generation"]
        status = {"observedGeneration": generation, "replicas": wanted, "updatedReplicas": wanted}
        self.world.patch("Deployment", NAME, {"status": {**status, "readyReplicas": wanted if good else 0}})

    def delete_child(self, kind: str) -> None:
        """Somebody deletes the Deployment or the Service."""
        if self.child(kind) is not None:
            self.world.remove(kind, NAME)

    def finish(self, *, good: bool) -> None:
        """Let everything come to rest."""
        for _ in range(3):
            self.look()
            self.roll(good=good)
        self.world.settle(KIND, self.key)
