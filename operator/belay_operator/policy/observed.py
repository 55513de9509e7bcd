"""The value a policy's decision is made from: no dict, no cache, no clock in it."""

from dataclasses import dataclass
from datetime import datetime

from belay_api.policy import LoadReport, RLPolicySpec, RLPolicyStatus
from belay_operator.children import Owner
from belay_operator.engine.plan import Settings


@dataclass(frozen=True, slots=True)
class Demand:
    """What one rollout asks of the policy."""

    rollout: str
    replicas: int
    until: datetime | None  # kept warm until then; None: as long as the rollout names it
    stable: bool  # the rollout's promoted version: its traffic has nowhere else to go


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """The Deployment as the cache has it."""

    ours: bool  # False: made by a policy of our name that was deleted
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
    pods: tuple[ServingPod, ...]  # those that are not being deleted, oldest first
    demands: tuple[Demand, ...]  # by rollout name
    closed_by: str | None  # the rollout whose overdue rollback wants the endpoints gone; None: open
    settings: Settings

    @property
    def deployment(self) -> DeploymentView | None:
        """The Deployment, unless it is an earlier namesake's."""
        return self.child if self.child is not None and self.child.ours else None
