"""What a diagnosis is made from: one frozen value, gathered by `recorder` and `probe`, read by the checks.

None means: not known. A check that needs what is not known finds nothing.
"""

from dataclasses import dataclass, field

import numpy as np

from belay_api.outcomes import Played
from belay_api.wire import RunEvaluation


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of the training."""

    budget: int  # timesteps
    discount: float = 0.99
    cap: int | None = None  # most timesteps of an episode; None: there is no cap
    solved_at: float | None = None  # return at which the environment calls itself solved
    least_entropy: float | None = None  # of a policy that still tries things, nats; None: not known, or not of policies


@dataclass(frozen=True, slots=True)
class Rewards:
    """Rewards of single timesteps, the environment's own."""

    count: int  # recorded
    low: float  # of all, recorded or not
    high: float
    mean: float  # of the recorded ones


@dataclass(frozen=True, slots=True)
class Episodes:
    """Episodes that ended while they were recorded, the latest; all arrays (episode,)."""

    lengths: np.ndarray  # timesteps
    returns: np.ndarray
    terminated: np.ndarray  # bool; False: truncated
    success: np.ndarray  # 0 or 1, as the environment says in its info; NaN: it does not say
    clock: float = 0.0  # the largest |rank correlation| of a number in the observation with the timestep, 0 to 1


@dataclass(frozen=True, slots=True)
class Observations:
    """Observations as the environment gives them, flattened (number,)."""

    count: int
    low: np.ndarray
    high: np.ndarray
    outside: int = 0  # how many lie outside the space
    where: str = ""  # the number that lies farthest outside, for people


@dataclass(frozen=True, slots=True)
class Contract:
    """What an environment does from one seed with one sequence of actions; in words where it should not."""

    steps: int = 0  # timesteps compared
    copies_differ: str | None = None  # two new copies
    reset_differs: str | None = None  # a used copy and a new one
    ignores_actions: bool = False  # other actions change nothing


@dataclass(frozen=True, slots=True)
class Values:
    """The critic at some recorded observations, beside what really came; both discounted, in the rewards' own unit."""

    predicted: np.ndarray  # (observation,)
    realised: np.ndarray  # (observation,)
    bonus: float = 0.0  # the most that one timestep is worth to the critic beyond its reward, up or down


@dataclass(frozen=True, slots=True)
class Updates:
    """How the learner learns."""

    gradient_steps: int = 0
    movement: float | None = None  # distance of the weights from where they began, over their size there; may be inf
    movement_steps: int = 0  # gradient steps between the two
    rounds: bool = False  # what is called gradient steps are rounds of a user's algorithm, each of any size and kind
    entropy: float | None = None  # nats, median of the latest updates
    kl: float | None = None  # of one update's policy from the one before, median of the latest
    clip_range: float | None = None  # the widest so far
    exploration: float | None = None  # the largest share of random actions so far; None: explores by other means
    usual_action: str = ""  # the most frequent action of the latest timesteps, for people


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is known at one look."""

    task: Task
    look: int = 1  # which one it is, counted from 1
    step: int = 0  # timesteps done
    rewards: Rewards | None = None
    episodes: Episodes | None = None
    observations: Observations | None = None
    contract: Contract | None = None
    values: Values | None = None
    updates: Updates = Updates()
    evaluations: tuple[RunEvaluation, ...] = ()  # greedy, oldest first
    length: Played | None = None  # of the episodes of the latest evaluation
    random: dict[str, Played] = field(default_factory=dict)  # what random actions come to, by outcome
    reach: dict[str, tuple[float, float]] = field(default_factory=dict)  # of all that was played, by outcome
