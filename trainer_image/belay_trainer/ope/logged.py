"""What estimators are given: logged episodes beside what the target policy would have done in them.

Weights multiply over an episode, so the columns of a dataset are laid out as matrices here, an episode a row. Beyond an
episode's end its ratios are 1 and its rewards 0: it ended, and stays where it is. So sums over episodes at a timestep
are sums over all of them, which estimators with weighted means rely on (Thomas & Brunskill 2016, section 2: episodes
that end enter an absorbing state).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_trainer.datasets.dataset import Dataset, Floats
from belay_trainer.ope.model import Model, fit_model
from belay_trainer.ope.target import TargetPolicy

LARGEST = 300.0  # log of a weight; squares of larger ones are no numbers of 64 bits


class NotJudged(Exception):
    """The log does not tell what was asked; the message is the reason, for the reader."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, and how well it is known."""

    value: float
    stderr: float
    """Over episodes."""


class Logged:
    """Logged episodes, the policy to be judged, and the discount that returns are counted with."""

    def __init__(self, dataset: Dataset, policy: TargetPolicy, *, discount: float, seed: int = 0) -> None:
        """Take them together.

        Args:
            discount: Of the next timestep's reward, in (0, 1].
            seed: Of everything that is drawn: folds, features, actions of continuous policies.
        """
        self.dataset, self.policy, self.discount, self.seed = dataset, policy, discount, seed
        self.episodes, self.horizon = dataset.episodes, int(dataset.lengths.max())

    @cached_property
    def rewards(self) -> Floats:
        """(episodes, horizon); 0 beyond an episode's end."""
        return self.matrix(self.dataset.rewards)

    @cached_property
    def discounts(self) -> Floats:
        """(horizon,); of each timestep."""
        return self.discount ** np.arange(self.horizon, dtype=np.float64)

    @cached_property
    def returns(self) -> Floats:
        """(episodes,); the discounted return of each."""
        return np.asarray(self.rewards @ self.discounts)

    @cached_property
    def log_ratios(self) -> Floats:
        """(timesteps,); the log of π(a|s) / b(a|s).

        Raises: NotJudged when there are no such ratios.
        """
        found, policy = self.dataset.propensities, self.policy
        if found is None:
            raise NotJudged("the dataset has no column `propensity`: nobody logged how likely the actions were")
        if policy.choices is None:
            self._check_kinds(found)
        return policy.log_propensity(self.dataset.observations, self.dataset.actions) - np.log(found)

    def _check_kinds(self, propensities: Floats) -> None:
        """Raises: NotJudged where densities of continuous actions meet the probability 1 of one that is certain."""
        certain = np.logical_and.reduceat(propensities == 1, self.dataset.starts[:-1])  # by episode
        if certain.any() and not certain.all():
            raise NotJudged(
                f"actions are continuous; in {certain.sum()} of {self.episodes} logged episodes each had propensity 1, "
                "and in the others a density: these cannot be weighed together; judge by the one kind or the other"
            )
        if self.policy.stochastic == bool(certain.all()):
            one, other = (
                ("draws its actions", "had one") if self.policy.stochastic else ("has one action", "drew its own")
            )
            raise NotJudged(
                f"actions are continuous; the policy {one} and the logged one {other}: a density and a probability "
                "have no ratio (decision 030)"
            )

    @cached_property
    def weights(self) -> Floats:
        """(episodes, horizon); the product of an episode's ratios up to and with each timestep. Raises: NotJudged."""
        logs = np.cumsum(self.matrix(self.log_ratios), axis=1)
        return np.exp(np.minimum(logs, LARGEST))

    @cached_property
    def mean_ratio(self) -> Mean:
        """The mean of π(a|s) / b(a|s) over all timesteps. Raises: NotJudged.

        It is 1 at every observation where the logged policy could do all that the target does, and otherwise the
        target's share of actions that the log can hold.
        """
        ratios = np.exp(np.minimum(self.log_ratios, LARGEST))
        sums, lengths = np.add.reduceat(ratios, self.dataset.starts[:-1]), self.dataset.lengths
        mean = float(sums.sum() / lengths.sum())
        spread = float(np.sqrt(((sums - mean * lengths) ** 2).sum()))
        return Mean(mean, spread / float(lengths.sum()))

    @cached_property
    def model(self) -> Model:
        """The target's values as a linear model has learnt them from these episodes. Raises: NotJudged."""
        try:
            return fit_model(self.dataset, self.policy, discount=self.discount, seed=self.seed)
        except np.linalg.LinAlgError as error:
            raise NotJudged("the equations of the model have no solution on this log") from error

    def matrix(self, column: NDArray[Any]) -> Floats:
        """Return a column (timesteps,) as (episodes, horizon), with 0 after each episode's end."""
        found = np.zeros((self.episodes, self.horizon))
        found[self.dataset.episode_of, self.dataset.step_of] = column
        return found
