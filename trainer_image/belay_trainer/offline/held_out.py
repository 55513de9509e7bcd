"""What a policy is worth by episodes that were held back, where nobody can play it.

In the place of an `Evaluator` while it trains. Its estimates are fitted Q-evaluation's, and count only where `ope` says
that the log covers the policy; what `ope` refuses is told as "cannot be judged", never as a number.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from belay_api.dataset import ChosenBy, OfflineEstimate
from belay_api.outcomes import KnownOutcome, Played
from belay_trainer.datasets.dataset import Dataset, Floats
from belay_trainer.environments import Environment
from belay_trainer.evaluate import Evaluation
from belay_trainer.offline.from_dataset import FromDataset
from belay_trainer.offline.policy import NetworkPolicy
from belay_trainer.ope import Judgement, Logged, judge

ESTIMATOR = "fqe"  # propensities, where they were logged, say next to nothing of a greedy policy


class HeldOut:
    """Chooses among checkpoints by held-out episodes; see `evaluate.Chooser`."""

    def __init__(self, logged: FromDataset, *, discount: float) -> None:
        """Set up; the data has held-out parts."""
        self.environment: Environment = logged.data.replay()
        self._dataset, self._chosen_by = logged.data.held_out.choosing, logged.chosen_by
        self._discount = discount

    def __call__(
        self, policy: NetworkPolicy, *, step: int | None, stop: Callable[[], bool] = lambda: False
    ) -> Evaluation:
        """Return how `policy` does: a score that is higher for the better one, or none where it cannot be judged."""
        del step, stop
        if self._chosen_by is ChosenBy.LOG_LIKELIHOOD:
            likelihood = float(policy.log_likelihood(self._dataset).mean())
            return Evaluation(report=None, played={}, score=likelihood if np.isfinite(likelihood) else None)
        estimated = judged(self._dataset, policy, discount=self._discount)
        return Evaluation(report=None, played={}, score=estimated.value)

    def random(self, *, seed: int, budget: int, stop: Callable[[], bool] = lambda: False) -> dict[str, Played] | None:
        """Return None: nobody plays."""
        del seed, budget, stop
        return None

    def known(
        self,
        played: dict[str, Played],
        *,
        random: dict[str, Played] | None,
        reach: dict[str, tuple[float, float]],
    ) -> dict[str, KnownOutcome]:
        """Return nothing: no outcome of the policy is known."""
        del played, random, reach
        return {}

    def close(self) -> None:
        """There is nothing to free."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What held-out episodes say of a policy."""

    judgement: Judgement
    contributions: Floats  # (episodes,); their mean is the estimate. Not numbers where it does not count

    @property
    def value(self) -> float | None:
        """The estimate; None: it does not count."""
        headline = self.judgement.headline
        return headline.found.value if headline is not None and headline.found is not None else None


def judged(dataset: Dataset, policy: NetworkPolicy, *, discount: float) -> Judged:
    """Return what logged episodes say of a policy."""
    logged = Logged(dataset, policy, discount=discount)
    judgement = judge(logged, estimators=(ESTIMATOR,))
    counts = judgement.headline is not None
    return Judged(judgement, logged.model.contributions if counts else np.full(dataset.episodes, np.nan))


def estimate(found: Judged, *, chosen_by: ChosenBy) -> OfflineEstimate:
    """Return a judgement in the words of the API."""
    judgement, headline = found.judgement, found.judgement.headline
    interval = headline.found if headline is not None else None
    return OfflineEstimate(
        value=interval.value if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        reason=judgement.reason,
        episodes=judgement.episodes,
        logged=judgement.logged.value,
        discount=judgement.discount,
        chosen_by=chosen_by,
    )
