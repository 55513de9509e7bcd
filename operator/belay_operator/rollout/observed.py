"""What a decision about a rollout is given: the resource, what status recorded, and the world as the cache has it.

Frozen, and free of anything that could ask the world again: two decisions on equal values are equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from belay_api.rollout import MetricVerdict, RLRolloutSpec, RLRolloutStatus, VersionStatus
from belay_operator.children import Owner
from belay_operator.rollout.facts import ServingFact, StatisticsFact
from belay_operator.rollout.traffic.router import RouteView


@dataclass(frozen=True, slots=True)
class PolicyView:
    """One RLPolicy, as far as a rollout cares."""

    name: str
    digest: str  # spec.artifact.digest
    ready_replicas: int = 0
    needed_replicas: int = 1  # ready pods without which it gets no more traffic
    broken: tuple[str, str] | None = None  # reason and message when it can never serve as it is; None: it may
    message: str = ""  # its Ready condition's words when it is in trouble, for people
    silent_since: datetime | None = None  # since when no pod of it answers; None: one does, or nothing is known yet
    shared: bool = False  # other rollouts use it too: its pods' traffic says nothing about ours

    @property
    def has_capacity(self) -> bool:
        """Whether it may get more traffic."""
        return self.ready_replicas >= self.needed_replicas


@dataclass(frozen=True, slots=True)
class Command:
    """The command annotation, parsed."""

    id: str
    action: str  # empty: the text is not of the form `<action>@<id>`


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything one decision rests on."""

    owner: Owner
    spec: RLRolloutSpec
    status: RLRolloutStatus
    policies: Mapping[str, PolicyView] = field(default_factory=dict)  # those that spec or status name and that exist
    route: RouteView | None = None  # the rollout's HTTPRoute; None: it does not exist
    gateway_api: bool = True  # the cluster serves HTTPRoute
    candidate_pods: int | None = None  # endpoints the candidate may still have; None: not looked at
    command: Command | None = None
    statistics: StatisticsFact | None = None
    serving: Mapping[str, ServingFact] = field(default_factory=dict)  # by policy
    logbook: bool = True  # installed with a logbook
    labels: Mapping[str, str] = field(default_factory=dict)  # the installation's own, for every child
    unfit: str | None = None  # why the spec cannot be carried out: all stays as it is, or a candidate goes back
    judgeable: bool = True  # False: what makes it unfit is the analysis, so no look can be taken
    looks: tuple[MetricVerdict, ...] | None = None  # this pass's verdicts; None: not looked yet, or nothing to judge

    def after(self, status: RLRolloutStatus) -> "Observed":
        """Return the same world with another recorded status."""
        return replace(self, status=status)

    def policy(self, version: VersionStatus | None) -> PolicyView | None:
        """Return the RLPolicy behind one side, or None when it does not exist."""
        return None if version is None else self.policies.get(version.policy)

    @property
    def stable_lost(self) -> bool:
        """Whether there is a stable version and its RLPolicy exists no more."""
        return self.status.stable is not None and self.policy(self.status.stable) is None

    @property
    def rolling_back(self) -> bool:
        """Whether a recorded rollback is not proven yet."""
        return self.status.rollback is not None and self.status.rollback.drained_at is None
