"""An environment, and what is put around it: wrappers, the costs it is held to, the reward that is learned from, and
what is drawn anew for each episode.

Wrappers and draws are part of the task: a policy is trained, measured and served in it. Costs stand beside the reward
and change nothing. The reward that is learned from is the training's alone: every return that is told is the task's.
"""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from belay_api.model import Model, StatusModel, rule, rules
from belay_api.units import FreeForm

NAMED_OUTCOMES = ("return", "length", "success")
"""Outcomes of an episode that are no costs."""
MOST_COPIES = 256
MOST_CONSTRAINTS = 8  # each stands in the last word of a pod, which has 4,096 bytes
OWN_REWARD = "reward"
"""The environment's own reward among the components of the one that is learned from."""
Reference = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", max_length=253)]
"""`package.module:name`."""


class WrapperSpec(Model):
    """One layer around the environment."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """A wrapper of Gymnasium, such as `FrameStackObservation`, or one of your own as `package.module:Class`."""
    kwargs: FreeForm = Field(default_factory=dict)
    """Its keyword arguments; unset: none."""


class ConstraintSpec(Model):
    """A cost that the environment tells of each timestep in its `info`, counted beside the reward."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                f"!(self.name in [{', '.join(repr(name) for name in NAMED_OUTCOMES)}])",
                f"a constraint cannot be called {', '.join(NAMED_OUTCOMES[:-1])} or {NAMED_OUTCOMES[-1]}: these are "
                "outcomes of every episode; choose another name",
            )
        )
    }

    name: Annotated[str, Field(pattern=r"^[a-z]([-_a-zA-Z0-9]*[a-zA-Z0-9])?$", max_length=63)]
    """What the cost is called in metrics, reports and the artifact: the outcome of that name is an episode's total."""
    info: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Key in `info` under which a step tells its cost, a number; a step without it costs nothing. Unset: `cost`."""
    limit: float | None = None
    """Most that the costs of one episode may add up to. Episodes above it are counted, and go on. Unset: none."""

    @property
    def key(self) -> str:
        """The key in `info`."""
        return self.info or "cost"


_ENDS = "has two ends, the lower one first: exchange them"
_CHOICE: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


class DrawSpec(Model):
    """How one value is drawn: exactly one of these is set."""

    # The API server's rules cannot see a list of anything, which `choice` is: the trainer looks at all three.
    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.uniform) || !has(self.log)",
                "a draw has exactly one of uniform, log and choice: leave the others out",
            )
        )
    }

    uniform: (
        Annotated[
            list[float],
            Field(
                min_length=2,
                max_length=2,
                json_schema_extra=rules(rule("self[0] <= self[1]", f"a uniform draw {_ENDS}")),
            ),
        ]
        | None
    ) = None
    """Uniformly between these two numbers."""
    log: (
        Annotated[
            list[Annotated[float, Field(gt=0)]],
            Field(
                min_length=2, max_length=2, json_schema_extra=rules(rule("self[0] <= self[1]", f"a log draw {_ENDS}"))
            ),
        ]
        | None
    ) = None
    """Between these two numbers above 0 so that the logarithm is uniform: for what spans orders of magnitude."""
    choice: Annotated[list[Annotated[Any, WithJsonSchema(_CHOICE)]], Field(min_length=1, max_length=256)] | None = None
    """One of these values, each as likely."""


class RewardSpec(Model):
    """The reward that is learned from. Evaluations, returns and reports have the environment's own."""

    components: Annotated[dict[str, float], Field(max_length=32)] = Field(default_factory=dict)
    """Weight of each part that is added up, by its key in `info`; `reward` is the environment's own, whose weight is 1
    where it is not named. A step without the key adds nothing for it; a key that no step has is refused."""
    potential: Reference | None = None
    """`package.module:function` of an observation that answers a number, its potential: γ·Φ(next) - Φ(observation) is
    added, with the algorithm's discount and 0 for what follows the end of a task. It leads to the same best policy,
    whatever the function. Unset: none."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest size of a reward that is learned from; it is cut last, after `normalize.reward` has scaled it. It changes
    what the best policy is. Unset: 10 where rewards are scaled, and none elsewhere."""

    @property
    def shapes(self) -> bool:
        """Whether rewards are made otherwise than the environment makes them."""
        return bool(self.components) or self.potential is not None


class VectorSpec(Model):
    """How many copies of the environment one seed steps at once."""

    count: Annotated[int, Field(ge=1, le=MOST_COPIES)] | None = None
    """Copies stepped in one process; unset: as the algorithm's preset for the environment has it."""


class RewardRange(Model):
    """Between what the reward of every single timestep lies; an end that is not set is not known."""

    model_config = {
        "json_schema_extra": rules(
            rule("has(self.low) || has(self.high)", "rewardRange has at least one end: set low, high or both"),
            rule(
                "!has(self.low) || !has(self.high) || self.low <= self.high",
                "rewardRange.low is above rewardRange.high, and no reward could lie between them: exchange them",
            ),
        )
    }

    low: float | None = None
    """No reward is below."""
    high: float | None = None
    """No reward is above."""


class EnvironmentSpec(Model):
    """The task to learn."""

    id: Annotated[str, Field(min_length=1, max_length=253)]
    """Gymnasium id such as `CartPole-v1`; `package.module:Id-v0` imports the module first."""
    kwargs: FreeForm = Field(default_factory=dict)
    """Keyword arguments of `gymnasium.make`."""
    wrappers: Annotated[list[WrapperSpec], Field(max_length=32)] = Field(default_factory=list)
    """Layers around the environment, the innermost first. They are part of the task: the served policy takes what the
    outermost shows, and whoever asks it has them around the own environment as well."""
    randomize: Annotated[dict[str, DrawSpec], Field(max_length=32)] = Field(default_factory=dict)
    """What is drawn anew for each episode, by keyword argument of the environment or else by attribute: domain
    randomisation. Each has one of `uniform: [low, high]`, `log: [low, high]` and `choice: [...]`. Training and
    evaluations both draw, each from reset seeds of its own."""
    constraints: Annotated[
        list[ConstraintSpec],
        Field(
            max_length=MOST_CONSTRAINTS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(default_factory=list)
    """Costs that are counted beside the reward. They change nothing that is learned, unless `reward` names them."""
    reward: RewardSpec = RewardSpec()
    """The reward that is learned from; unset: the environment's own."""
    vector: VectorSpec = VectorSpec()
    """Parallel copies for collection; evaluation has copies of its own."""
    reward_range: RewardRange | None = None
    """What the reward of one timestep can be. With the environment's cap on timesteps it makes certain between what
    every return lies, and rollouts of its policies are judged within that. Unset: what the environment's attribute
    `reward_range` says, if it has one. A reward outside fails the training."""


class EvaluationVectorSpec(Model):
    """How many copies of the environment are evaluated in."""

    count: Annotated[int, Field(ge=1, le=MOST_COPIES)] | None = None
    """Copies played side by side, each a further environment in memory; unset: 16."""


class CostPlace(Model):
    """One timestep that cost something."""

    seed: int
    """Reset seed of its episode."""
    step: int
    """Its place in the episode, from 0."""
    cost: float
    """What it cost."""


class CostReport(Model):
    """What one constraint cost over the episodes of an evaluation."""

    name: str
    """As `environment.constraints` names it."""
    total: float
    """Of all timesteps of all episodes."""
    per_episode: float
    """Mean over episodes of their totals."""
    per_step: float
    """Total over timesteps."""
    costly_episodes: int
    """Episodes in which a timestep had a cost other than 0."""
    limit: float | None = None
    """As `environment.constraints` has it."""
    over_limit: int | None = None
    """Episodes whose total was above the limit; None: there is none."""
    places: list[CostPlace] = Field(default_factory=list)
    """The first timesteps that had a cost other than 0, by seed and step; at most 20."""


class CostStatus(StatusModel):
    """What one constraint cost the published checkpoint, in the episodes of its return."""

    name: str
    """As `environment.constraints` names it."""
    per_episode: float
    """Mean over episodes of their totals."""
    per_step: float
    """Total over timesteps."""
    over_limit: int | None = None
    """Episodes whose total was above the limit; absent: there is none."""
