"""`spec.policy.winnerOf`: arms beside stable at fixed shares, until one is shown to be better than it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from belay_api.model import Model, StatusModel, rule, rules
from belay_api.rollout.common import Name
from belay_api.rollout.verdicts import MetricVerdict
from belay_api.units import Duration, Instant, duration_default

MAX_ARMS = 4
MAX_CHANGES = 64  # of the arms' shares that are remembered; an arm whose pods come and go is out before


class OnWinner(StrEnum):
    """What follows when an arm has won."""

    PROMOTE = "Promote"
    """It is the policy that shall serve: the candidate, by `steps`."""
    HOLD = "Hold"
    """Nothing, until a person names it in `spec.policy.name` or writes Promote here."""


class ArmSpec(Model):
    """One policy on trial, and its share."""

    policy: Name
    """An RLPolicy of this namespace with other bytes than stable's."""
    weight: Annotated[int, Field(ge=1, le=50)] = 10
    """Percent of new episodes that it gets while the experiment lasts; of users, in whole tens, where
    `gatewayAPI.assignment` says so. Unset: 10."""


class ExperimentSpec(Model):
    """Arms beside the stable version, which keeps the rest. Each is compared with stable, on concurrent episodes; one
    that fails a metric loses its share at once. There must be a stable version."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "self.arms.map(a, has(a.weight) ? a.weight : 10).sum() <= 90",
                "winnerOf.arms have more than 90 percent together, and too few episodes would be left to compare with: "
                "lower their weights",
            ),
            *(
                rule(
                    f"!has(self.{name}) || self.{name}.matches('[1-9]')",
                    f"winnerOf.{name} is nothing, and nobody could win: write e.g. {example}",
                )
                for name, example in (("duration", "24h"), ("timeout", "168h"))
            ),
            rule(
                "!has(self.keepLosers) || self.keepLosers.matches('[1-9]')",
                "winnerOf.keepLosers is 0, and nobody could look at anything: write e.g. 1h, or remove it",
            ),
        )
    }

    arms: Annotated[
        list[ArmSpec],
        Field(
            min_length=1,
            max_length=MAX_ARMS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["policy"]},
        ),
    ]
    """One to four, beside stable. Together at most 90 percent. Other arms or weights are another experiment."""
    metric: str
    """What the winner must be better by: one of `analysis.metrics` that compares an outcome of the logbook, without
    dryRun. Looked for is a gain of the size of its margin. Each of the others must pass."""
    error_rate: Annotated[float, Field(gt=0, le=0.25)] = 0.05
    """Chance that any arm wins that is not better than stable, however often it is looked: divided by the number of
    arms. Unset: 0.05."""
    duration: Duration = duration_default("24h")
    """How long at least, from when the gateway has accepted all shares. Of several that are better then, the one with
    the best mean difference wins."""
    timeout: Duration = duration_default("168h")
    """When it ends without a winner, counted likewise."""
    on_winner: OnWinner = OnWinner.PROMOTE
    """What follows when an arm has won. Unset: Promote."""
    keep_losers: Duration | None = None
    """How long arms that did not win keep their pods, without any new episode, for people to look at. Unset: for as
    long as their episodes may take (`analysis.grace`)."""


class ArmOutcome(StrEnum):
    """How an arm ended."""

    WINNER = "Winner"
    """Better than stable by `metric`, and not worse by the others."""
    BETTER = "Better"
    """So was this one, and another had the better mean."""
    WORSE = "Worse"
    """A metric failed: it lost its share at once, and its digest is rejected."""
    UNDECIDED = "Undecided"
    """Not shown to be better when the experiment ended."""
    UNFIT = "Unfit"
    """It could not serve: deleted, made again with other bytes, broken, or its pods come and go."""


class ArmStatus(StatusModel):
    """One arm, and what is known of it."""

    policy: str
    """Name of the RLPolicy."""
    digest: str
    """Digest of its artifact when the experiment began."""
    weight: int
    """Percent of new episodes, while it takes part."""
    outcome: ArmOutcome | None = None
    """How it ended; unset: it takes part."""
    message: str = ""
    """The same as a sentence."""
    withdrawn_at: Instant | None = None
    """When it was taken out before the end; unset: it was not."""
    better: bool | None = None
    """True: by the last look it is shown to be better than stable by the experiment's metric."""
    verdicts: list[MetricVerdict] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["metric"]},
    )
    """The last look at each metric: the arm in the place of the candidate."""


class ShareChange(StatusModel):
    """A change of who has a share."""

    at: Instant
    """When the gateway had accepted it; no window of episodes spans it."""
    asked_at: Instant
    """From when on it may have been in force."""
    arms: list[str]
    """Who has its share from then on; stable has the rest."""


class ExperimentStatus(StatusModel):
    """The experiment under way, or the last one."""

    definition: str
    """Hash of its arms, metric and error rate: another is another experiment."""
    judged_by: str
    """Hash of what its arms are judged by; an edit of that begins the comparison anew."""
    stable: str
    """The version they are compared with."""
    stable_digest: str
    """Digest of its artifact."""
    metric: str
    """What the winner must be better by."""
    arms: Annotated[
        list[ArmStatus],
        Field(
            max_length=MAX_ARMS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["policy"]},
        ),
    ]
    """What is known of each."""
    begun_at: Instant
    """When their pods were asked for."""
    started_at: Instant | None = None
    """When the gateway had accepted their shares; only episodes that began later count."""
    asked_at: Instant | None = None
    """Since when a change of their shares waits for the gateway; unset: none does."""
    changes: Annotated[list[ShareChange], Field(max_length=MAX_CHANGES)] = Field(default_factory=list)
    """Each change of their shares, oldest first."""
    decided_at: Instant | None = None
    """When it was over; unset: it is under way."""
    winner: str | None = None
    """The arm that won; unset: none has."""
    message: str = ""
    """How it ended."""
