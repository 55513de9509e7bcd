"""What a decision about a rollout is given: the resource, what status recorded, and the world as the cache has it.

Frozen, and free of anything that could ask the world again: two decisions on equal values are equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import RLRolloutStatus, VersionStatus
from belay_api.rollout.verdicts import MetricVerdict
from belay_operator.children import Owner
from belay_operator.engine.plan import Settings
from belay_operator.judging.view import JobView
from belay_operator.policy.leftover import Leftover
from belay_operator.rollout import winner
from belay_operator.rollout.analysis.standing import Seen
from belay_operator.rollout.facts import Reading, ServingFact, ShadowFact, Silences
from belay_operator.rollout.group import Member
from belay_operator.rollout.latest import choose
from belay_operator.rollout.peers import Peer
from belay_operator.rollout.policy_view import PolicyView
from belay_operator.rollout.progression import Progression, followed
from belay_operator.rollout.traffic.router import Router, TrafficView


@dataclass(frozen=True, slots=True)
class Command:
    """The command annotation, parsed."""

    id: str
    action: str  # empty: the text is not of the form `<action>@<id>`


@dataclass(frozen=True, slots=True)
class Preview:
    """The address that leads to the candidate alone."""

    wanted: bool  # False: the spec has none, and what is left of one goes
    router: Router
    traffic: TrafficView  # what carries it now


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything one decision rests on."""

    owner: Owner
    spec: RLRolloutSpec  # where `unfit` is set, without the parts that cannot be carried out; see `following`
    recorded: RLRolloutStatus  # the status as the API server has it
    status: RLRolloutStatus  # with what the route carries ahead of it (see `carried`)
    router: Router  # how the spec wants traffic carried
    traffic: TrafficView  # what carries it now
    settings: Settings  # the installation's own: images and labels of what a step makes
    preview: Preview | None = None  # None: this way of carrying traffic has none
    policies: Mapping[str, PolicyView] = field(default_factory=dict)  # those that spec or status name and that exist
    family: tuple[str, ...] = ()  # of them, those of the family that the spec follows
    group: tuple[Member, ...] = ()  # the others of `spec.group` that have a place or ask for one
    peers: Mapping[str, Peer] = field(default_factory=dict)  # rollouts that steps `together` name, and that exist
    candidate_pods: int | None = None  # endpoints the candidate may still have; None: not looked at
    command: Command | None = None
    readings: Mapping[str, Reading] = field(default_factory=dict)  # by metric; absent: its source has said nothing yet
    arms: Mapping[str, Mapping[str, Reading]] = field(default_factory=dict)  # of an experiment: by policy, by metric
    watched: Mapping[str, Reading] = field(default_factory=dict)  # of stable since its promotion, by metric
    standing: Mapping[str, Mapping[str, Seen]] = field(default_factory=dict)  # after a promotion: by policy, by metric
    silences: Mapping[str, Silences] = field(default_factory=dict)  # after a promotion: by policy
    serving: Mapping[str, ServingFact] = field(default_factory=dict)  # by policy
    shadow: ShadowFact | None = None  # what was last heard of a step `shadow`
    leftovers: tuple[Leftover, ...] = ()  # what deleted policies left to this rollout
    jobs: tuple[Mapping[str, Any], ...] = ()  # Jobs this rollout owns: those of steps
    asked_job: JobView | None = None  # of what the recorded step asks, and its pods; None: it asks nothing
    unfit: str | None = None  # what of the spec cannot be carried out: the steps stand still, everything else goes on
    declared: Progression | None = None  # steps that the spec asks for and does not list; None: it lists them
    kept: Progression | None = None  # those that status had recorded when the pass began
    verdicts: tuple[MetricVerdict, ...] | None = None  # of this pass; None: nobody is judged

    def after(self, status: RLRolloutStatus) -> "Observed":
        """Return the same world with another status."""
        return replace(self, status=status).following()

    def following(self) -> "Observed":
        """Return the same with the steps in `spec` that hold for the status."""
        steps = None if self.progression is None else list(self.progression.steps)
        if steps is None or steps == self.spec.steps:
            return self
        return replace(self, spec=self.spec.model_copy(update={"steps": steps}))

    @property
    def progression(self) -> Progression | None:
        """The steps from elsewhere that hold now; None: the spec lists its steps itself."""
        return None if self.declared is None else followed(self.declared, self.kept, self.status)

    @property
    def returning(self) -> bool:
        """Whether the candidate is the version before, while that is warm."""
        previous, candidate = self.status.previous, self.status.candidate
        if previous is None or candidate is None:
            return False
        return (previous.policy, previous.digest) == (candidate.policy, candidate.digest)

    @property
    def wanted(self) -> str:
        """The policy that the spec wants to serve; empty: it names none, and there is none to serve."""
        ref = self.spec.policy
        if ref.winner_of is not None:
            return winner.choose(ref.winner_of, self.status, self.policies)
        if ref.latest_of is None:
            return ref.name or ""
        members = [self.policies[name] for name in self.family]
        return choose(members, self.status, self.policy(self.status.stable), older=ref.allow_older)

    def policy(self, version: VersionStatus | None) -> PolicyView | None:
        """Return the policy behind one side, or None when neither it nor pods of it exist."""
        return None if version is None else self.policies.get(version.policy)

    @property
    def stable_lost(self) -> bool:
        """Whether there is a stable version and neither its RLPolicy nor pods of it exist any more."""
        return self.status.stable is not None and self.policy(self.status.stable) is None

    @property
    def candidate_answers(self) -> bool:
        """Whether the candidate has a ready pod."""
        candidate = self.policy(self.status.candidate)
        return candidate is not None and candidate.ready_replicas > 0

    @property
    def rolling_back(self) -> bool:
        """Whether a recorded rollback is not proven yet."""
        return self.status.rolling_back
