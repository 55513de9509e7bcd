"""A policy's surroundings: rollouts that name it, the Deployment controller, and pods that read its artifact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.policy.given import CHANGED, DIGEST, GOOD, NAME, UID, pod, policy, rollout
from tests.world import START, World, key_of

from belay_operator.children import Owner
from belay_operator.engine.plan import Plan
from belay_operator.policy.leftover import leftovers_of, outlived
from belay_operator.policy.observe import KIND

URI = f"store://sha256/{DIGEST[7:]}"
LATER = "2026-05-05"  # than the Deployment, as all its pods are

Json = dict[str, Any]


@dataclass
class Cluster:
    """One policy, its operator, and the rest of the cluster."""

    world: World = field(default_factory=lambda: World([policy()]))
    made: int = 0  # RLPolicies after the first

    def __post_init__(self) -> None:
        self.key = key_of(self.world.objects["RLPolicy", "default", NAME])

    # --- the operator -------------------------------------------------------------------------------------------------
    def look(self, effects: int | None = None) -> None:
        """One pass, which may die after some effects."""
        self.world.reconcile(KIND, self.key, now=START, effects=effects)

    def let_go(self) -> None:
        """What the rollouts' own passes do about what deleted policies left to them."""
        for held in [held for key, held in self.world.objects.items() if key[0] == "RLRollout"]:
            refs = outlived(leftovers_of(self.world, Owner.of(held)), START)
            self.world.execute(key_of(held), Plan(delete=refs))

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
    def delete_policy(self) -> None:
        """Somebody deletes the RLPolicy, and the garbage collector does its part."""
        if self.child("RLPolicy") is not None:
            self.world.remove("RLPolicy", NAME)

    def make_policy(self, digest: str) -> None:
        """Somebody creates an RLPolicy of the name, unless there is one."""
        if self.child("RLPolicy") is None:
            self.made += 1
            self.world.put(policy({"artifact": {"uri": URI, "digest": digest}}, metadata={"uid": f"{UID}-{self.made}"}))

    def delete_rollout(self, who: str) -> None:
        """Somebody deletes a rollout."""
        if ("RLRollout", "default", who) in self.world.objects:
            self.world.remove("RLRollout", who)

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
            self.world.put(pod(number, report=GOOD if good else CHANGED, ready=good, failed_fetch=not good, day=LATER))
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
