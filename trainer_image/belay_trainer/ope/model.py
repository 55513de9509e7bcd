"""A linear model of what the target policy is worth: of each action in each observation, and of an episode's start.

Fitted Q-evaluation repeats `Q(s, a) <- r + γ · Σ π(a'|s') Q(s', a')` as a regression. Where Q is w · φ(s, a), that
is w <- (Σ + λ)⁻¹ (b + γ M w), so where it ends is known without repeating it:

    Σ = Σ φ(s,a) φ(s,a)ᵀ    M = Σ φ(s,a) E_π φ(s',·)ᵀ    b = Σ φ(s,a) r        (Σ + λ - γ M) w = b

and whether it ends at all is the size of the largest eigenvalue of γ (Σ + λ)⁻¹ M. The same equations, solved the other
way round, give a weight to each logged timestep, with which the value is the weighted sum of logged rewards. How uneven
these weights are says how much of the log the value rests on.

Source: Le, Voloshin, Yue, "Batch Policy Learning under Constraints", ICML 2019, algorithm 3 (FQE); Duan, Jia, Wang,
    "Minimax-Optimal Off-Policy Evaluation with Linear Function Approximation", ICML 2020: its linear form, and that its
    error is the spread of those weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from belay_trainer.datasets.dataset import Dataset, Floats
from belay_trainer.datasets.split import folds
from belay_trainer.ope.features import Features, features_for
from belay_trainer.ope.target import TargetPolicy

RIDGE = 1e-6  # times the number of timesteps, for features of about 1: ten times more bends values, less lets noise in
FOLDS = 2  # an episode's values are taken from a model of the others
ROWS = 4_096  # timesteps whose features are in memory at once, about 100 MB; or those of one long episode


@dataclass(frozen=True, slots=True)
class Model:
    """What the model says."""

    value: float
    """Mean value of the episodes' first observations."""
    contributions: Floats
    """(episodes,); their mean is `value`, and to first order its change when episodes are drawn anew is theirs."""
    effective: float
    """Of so many episodes of the target's own the value would be known as well; at most those there are."""
    radius: float
    """Size of the largest eigenvalue of a repetition: at 1 and above repeating never ends."""
    action_values: Floats
    """(timesteps,); Q(s, a) of what was done, from the episodes of other folds."""
    values: Floats
    """(timesteps,); the mean of Q over the target's actions, from the episodes of other folds."""


@dataclass(slots=True)
class _Sums:
    """The equations of some episodes."""

    square: Floats  # Σ
    ahead: Floats  # M
    reward: Floats  # b
    starts: Floats  # of what the target does at episodes' first observations
    rows: int

    def solve(self, discount: float) -> Floats:
        """Return w."""
        return np.asarray(np.linalg.solve(self.matrix(discount), self.reward))

    def matrix(self, discount: float) -> Floats:
        """Return Σ + λ - γ M."""
        return self.ridged() - discount * self.ahead

    def ridged(self) -> Floats:
        """Return Σ + λ."""
        return self.square + RIDGE * max(self.rows, 1) * np.eye(len(self.reward))


@dataclass(frozen=True, slots=True)
class _Part:
    """Some consecutive episodes as features."""

    episodes: slice
    rows: slice
    first: NDArray[np.intp]  # (episodes,) first row of each, counted in this part
    taken: Floats  # (rows, features) of what was done
    expected: Floats  # (rows, features) of what the target does there
    ahead: Floats  # (rows, features) of what the target does next; zeros where the episode ended
    used: NDArray[np.bool_]  # (rows,); False: nobody knows what came next


def fit_model(dataset: Dataset, policy: TargetPolicy, *, discount: float, seed: int) -> Model:
    """Return the model of a policy from logged episodes.

    An episode that was cut goes on in the model, as long as what followed its last action is known; else that one
    timestep is left out.

    Args:
        discount: In (0, 1].
        seed: Of features, folds and drawn actions.
    """
    generator = np.random.default_rng(seed)
    features = features_for(dataset, policy, generator)
    fold = folds(dataset, min(FOLDS, dataset.episodes), generator)
    sums = _sums(features, dataset, fold, seed)
    whole = _total(sums)
    weights = whole.solve(discount)
    others = [_total([one for one in sums if one is not left] or sums).solve(discount) for left in sums]
    starts = whole.starts / dataset.episodes
    backwards = np.linalg.solve(whole.matrix(discount).T, starts)

    action_values, values = np.empty(dataset.timesteps), np.empty(dataset.timesteps)
    contributions, mass = np.empty(dataset.episodes), 0.0
    for part in _parts(features, dataset, seed):
        fold_of = np.repeat(fold[part.episodes], dataset.lengths[part.episodes])
        for number, other in enumerate(others):
            rows = np.flatnonzero(fold_of == number)
            action_values[part.rows.start + rows] = part.taken[rows] @ other
            values[part.rows.start + rows] = part.expected[rows] @ other
        error = dataset.rewards[part.rows] + (discount * part.ahead - part.taken) @ weights
        share = dataset.episodes * (part.taken @ backwards) * part.used
        contributions[part.episodes] = part.expected[part.first] @ weights + np.add.reduceat(share * error, part.first)
        mass += float(share.sum())

    value = float(starts @ weights)
    spread = dataset.episodes**2 * float(backwards @ whole.ridged() @ backwards)
    repeated = discount * np.linalg.solve(whole.ridged(), whole.ahead)
    return Model(
        value=value,
        contributions=contributions - contributions.mean() + value,
        effective=_effective(mass, spread, dataset, discount),
        radius=float(np.abs(np.linalg.eigvals(repeated)).max()),
        action_values=action_values,
        values=values,
    )


def _effective(mass: float, spread: float, dataset: Dataset, discount: float) -> float:
    """How many episodes the weights are worth: Kish's size, beside that of the discounts alone.

    Weights of the target's own episodes would be the discounts; so much unevenness costs nothing.
    """
    own = discount ** dataset.step_of.astype(np.float64)
    most = float(own.sum() ** 2 / (own**2).sum())
    return dataset.episodes * min(1.0, max(0.0, mass**2 / spread / most)) if mass > 0 and spread > 0 else 0.0


def _sums(features: Features, dataset: Dataset, fold: NDArray[np.intp], seed: int) -> list[_Sums]:
    """The equations of each fold's episodes."""
    found: list[list[_Sums]] = [[] for _ in range(int(fold.max()) + 1)]
    for part in _parts(features, dataset, seed):
        fold_of = np.repeat(fold[part.episodes], dataset.lengths[part.episodes])
        for number, sums in enumerate(found):
            rows = part.used & (fold_of == number)
            taken = part.taken[rows]
            one = _Sums(
                square=taken.T @ taken,
                ahead=taken.T @ part.ahead[rows],
                reward=taken.T @ dataset.rewards[part.rows][rows],
                starts=part.expected[part.first][fold[part.episodes] == number].sum(axis=0),
                rows=int(rows.sum()),
            )
            found[number] = [_total([*sums, one])]
    return [sums for (sums,) in found]


def _total(sums: list[_Sums]) -> _Sums:
    return _Sums(
        square=np.sum([one.square for one in sums], axis=0),
        ahead=np.sum([one.ahead for one in sums], axis=0),
        reward=np.sum([one.reward for one in sums], axis=0),
        starts=np.sum([one.starts for one in sums], axis=0),
        rows=sum(one.rows for one in sums),
    )


def _parts(features: Features, dataset: Dataset, seed: int) -> Iterator[_Part]:
    """All episodes, some at a time; the same actions are drawn for them each time."""
    follows, known = dataset.follows()
    first = 0
    while first < dataset.episodes:
        end = int(np.searchsorted(dataset.starts, dataset.starts[first] + ROWS, side="right")) - 1
        episodes = slice(first, max(end, first + 1))
        rows = slice(int(dataset.starts[first]), int(dataset.starts[episodes.stop]))
        generator = np.random.default_rng([seed, first])
        observations = dataset.observations[rows]
        expected = features.expected(observations, generator)
        last = dataset.starts[1:][episodes] - 1 - rows.start
        cut = ~dataset.terminated[episodes]
        goes_on = cut & known[episodes]
        ahead = np.concatenate([expected[1:], np.zeros((1, expected.shape[1]))])
        ahead[last] = 0.0
        if goes_on.any():
            ahead[last[goes_on]] = features.expected(follows[episodes][goes_on], generator)
        used = np.ones(len(observations), dtype=bool)
        used[last[cut & ~known[episodes]]] = False
        yield _Part(
            episodes=episodes,
            rows=rows,
            first=dataset.starts[:-1][episodes] - rows.start,
            taken=features.of(observations, dataset.actions[rows]),
            expected=expected,
            ahead=ahead,
            used=used,
        )
        first = episodes.stop
