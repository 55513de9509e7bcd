"""The value a policy's decision is made from: no cache, no clock in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from belay_api.policy import LoadReport, RLPolicySpec, RLPolicyStatus
from belay_operator.children import Owner
from belay_operator.engine.plan import Ref, Settings
from belay_operator.judging.standing import Asked
from belay_operator.policy.needs import Demand


class Whose(Enum):
    """To whom the Deployment of our name belongs."""

    OURS = "ours"  # we are its controller, or it has none and serves our very bytes: then it is taken back as it is
    LEFTOVER = "leftover"  # it serves other bytes; the RLPolicy that made it is gone
    TAKEN = "taken"  # another object is its controller: a deleted namesake that still has to let go of it


@dataclass(frozen=True, slots=True)
class Template:
    """A pod template."""

    body: Mapping[str, Any]
    fingerprint: str | None  # what tells it from others; None: not known


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """The Deployment as the cache has it."""

    whose: Whose
    ref: Ref
    digest: str | None  # of the bytes it serves; None: made before Belay noted it
    template: str | None  # fingerprint of the pod template it carries; None: made before Belay noted it
    keepers: frozenset[str]  # uids of its owners that are not its controller
    asked: int  # pods its spec asks for
    deleting: bool
    current: bool  # its controller has seen the latest spec
    replicas: int  # pods that exist
    ready: int  # pods that answer and are not on their way out
    updated: int  # pods of the latest template
    failure: str | None  # why pods cannot even be created, in the controller's words


@dataclass(frozen=True, slots=True)
class ServingPod:
    """One pod of the policy."""

    name: str
    created_at: datetime
    ready: bool
    report: LoadReport | None  # what its init container found; None: nothing yet
    cannot_start: str | None  # in the kubelet's words
    unschedulable: str | None = None  # in the scheduler's words


@dataclass(frozen=True, slots=True)
class Observed:
    """One policy and its world."""

    owner: Owner
    spec: RLPolicySpec
    status: RLPolicyStatus  # as last written
    child: DeploymentView | None  # the Deployment of our name; None: never made, or deleted
    service: bool  # a Service of our name exists
    pods: tuple[ServingPod, ...]  # those of the Deployment that are not being deleted, oldest first
    demands: tuple[Demand, ...]  # for any bytes under our name, by rollout
    closed_by: str | None  # the rollout whose overdue rollback wants the endpoints gone; None: open
    settings: Settings
    template: Template  # the pods we want
    accepted: Template | None = None  # those of the Deployment, where they are others
    asked: tuple[Asked, ...] = ()  # what the spec asks of the policy, and what is known of it
    outdated_jobs: tuple[Ref, ...] = ()  # of what it no longer asks

    @property
    def deployment(self) -> DeploymentView | None:
        """The Deployment, unless it is not ours."""
        return self.child if self.child is not None and self.child.whose is Whose.OURS else None

    def asking(self, now: datetime) -> list[Demand]:
        """Return the demands for our bytes that still hold."""
        digest = self.spec.artifact.digest
        return [demand for demand in self.demands if demand.digest == digest and demand.holds(now)]

    def in_the_way(self, now: datetime) -> Demand | None:
        """Return a demand for what a deleted policy of our name still serves; None: its place is free."""
        if self.child is None or self.child.whose is not Whose.LEFTOVER:
            return None
        needed = (d for d in self.demands if d.digest == self.child.digest and d.holds(now) and not d.closing)
        return next(needed, None)
