"""Learning from logged episodes: which, and what is told of a policy that nobody has played.

Without a simulator nobody knows a return. What is known then has other names: an estimate from episodes that were held
back, of which kind, between what it lies, or why the log cannot tell.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from belay_api.model import Model, StatusModel, rule, rules

MOST_NUMBERS = 256  # in one action


class LoggedActions(Model):
    """Which actions there are: `choices`, or `low` and `high`."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "has(self.low) == has(self.high) && has(self.low) != has(self.choices)",
                "dataset.actions is choices for whole numbers, or low and high for a box: set one of the two",
            ),
            rule(
                "!has(self.low) || !has(self.high) || size(self.low) == size(self.high)",
                "dataset.actions: low and high have one bound for every number of an action: give both as many",
            ),
        )
    }

    choices: Annotated[int, Field(ge=2, le=100_000)] | None = None
    """Actions are the whole numbers from 0 to one less than this."""
    low: Annotated[list[float], Field(min_length=1, max_length=MOST_NUMBERS)] | None = None
    """Lowest value of each number of an action."""
    high: Annotated[list[float], Field(min_length=1, max_length=MOST_NUMBERS)] | None = None
    """Highest value of each number of an action."""


class DatasetSpec(Model):
    """Logged episodes to learn from. All that counts timesteps of a training counts gradient steps then: `budget`,
    `evaluation.every`, `checkpoint.every`, and every step that is told."""

    path: Annotated[str, Field(min_length=1, max_length=1024)]
    """A Parquet or HDF5 file, or the folder of a Minari dataset, as the pod sees it: `/data/<name>/...` is in the claim
    of `runtime.data`. What has to be in it: `docs/reference/dataset.md`."""
    held_out: Annotated[float, Field(ge=0.02, le=0.9)] = 0.2
    """Share of the episodes that nothing is learned from where there is no `evaluation.environment`: one half chooses
    the checkpoint, the other tells what it is worth. With one, all episodes are learned from."""
    split: Literal["chance", "time"] | None = None
    """Which episodes these are: `chance` draws them, `time` takes the latest ones by the column `time`, those that
    measure behind those that choose, so that nothing is told by what came before it was learned. Unset: `chance`."""
    actions: LoggedActions | None = None
    """Which actions there are; unset: as `evaluation.environment` or the metadata of a Minari dataset says, else those
    that were logged."""


class ChosenBy(StrEnum):
    """By what a checkpoint was chosen where nobody plays."""

    FITTED_Q = "FittedQ"
    """The highest estimate of its mean discounted return, by fitted Q-evaluation."""
    LOG_LIKELIHOOD = "LogLikelihood"
    """The highest mean log probability of logged actions: behaviour cloning is to copy, whatever that earns."""
    LAST = "Last"
    """No checkpoint could be judged: it is the last one."""


class OfflineEstimate(StatusModel):
    """What held-out episodes say of a policy's mean discounted return, by fitted Q-evaluation. It is no return: nobody
    has played the policy."""

    value: float | None = None
    """The estimate; absent: the policy cannot be judged offline."""
    low: float | None = None
    """Lower end of its 95 % interval over episodes. That the model of the values is wrong is not in it."""
    high: float | None = None
    """Upper end."""
    reason: str | None = None
    """Why the policy cannot be judged offline; absent: it can."""
    episodes: int
    """Held-out episodes it is taken from; they chose nothing."""
    logged: float
    """Mean discounted return of these episodes themselves."""
    discount: float
    """Per timestep."""
    chosen_by: ChosenBy
    """What chose the checkpoint, on other held-out episodes: FittedQ, LogLikelihood or Last."""

    def words(self) -> str:
        """Return it as the end of a sentence."""
        if self.value is None or self.low is None or self.high is None:
            held_out = f"{self.episodes} episode{'' if self.episodes == 1 else 's'} that were held out"
            return f"nobody has played it, and the {held_out} cannot judge it: {self.reason}"
        return (
            f"an estimated discounted return of {self.value:.4g} ({self.low:.4g} to {self.high:.4g}) where logged "
            f"episodes have {self.logged:.4g}; nobody has played it"
        )


class FloorVerdict(StrEnum):
    """How a policy compares with behaviour cloning."""

    BETTER = "Better"
    NOT_TOLD_APART = "NotToldApart"
    WORSE = "Worse"
    NOT_JUDGED = "NotJudged"
    """One of the two cannot be judged offline."""


class Floor(StatusModel):
    """Behaviour cloning, trained beside on the same data for as many steps: what a copy of the log comes to."""

    verdict: FloorVerdict
    """Better, Worse, NotToldApart: 0 lies within the interval; or NotJudged."""
    return_: float | None = Field(default=None, alias="return")
    """Its mean return, in the episodes the policy was measured in; absent without a simulator."""
    estimate: float | None = None
    """Its mean discounted return by fitted Q-evaluation, on the episodes of the policy's; absent with a simulator, or
    where it cannot be judged."""
    difference: float | None = None
    """The policy's less its own: of returns, or of estimates."""
    low: float | None = None
    """Lower end of the difference's 95 % interval; absent: fewer than ten episodes have none."""
    high: float | None = None
    """Upper end."""

    def words(self) -> str:
        """Return it as the end of a sentence."""
        if self.difference is not None and (self.low is None or self.high is None):
            return f"difference to behaviour cloning {self.difference:.4g}, of too few episodes for an interval"
        if self.difference is None:
            return "whether it is better than behaviour cloning cannot be judged offline"
        told = {
            FloorVerdict.BETTER: "better than behaviour cloning",
            FloorVerdict.WORSE: "worse than behaviour cloning",
        }.get(self.verdict, "not told apart from behaviour cloning")
        return f"{told}: difference {self.difference:.4g} ({self.low:.4g} to {self.high:.4g})"
