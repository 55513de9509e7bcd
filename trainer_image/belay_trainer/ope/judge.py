"""Ask the estimators, and say what the policy is worth, or why the log cannot tell.

An estimate counts only if nothing is known against it. Of those that count, the first in the order of preference is the
headline. Where none counts the policy cannot be judged offline, and that is an outcome like any other: try it as a
shadow or on a small weight. A model alone (`fqe`) is a headline only where nothing else was asked. Why these limits:
decision 036.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from belay_api.reasons import Verdict
from belay_api.words import did_you_mean
from belay_trainer.errors import BadConfiguration
from belay_trainer.ope.estimators import ESTIMATORS
from belay_trainer.ope.estimators.estimator import Estimated, Fit, mean_of
from belay_trainer.ope.logged import Logged, NotJudged

LEAST_EPISODES = 20  # effective ones: a mean of fewer has no interval that holds
LEAST_SHARE = (
    1 / 3
)  # of the logged episodes: with fewer, intervals of 95 % were seen to cover as little as 57 (decision 036)
SURE = 4.0  # standard errors: a mean ratio of 1 lies outside once in 16,000 times
CLOSE = 0.01  # a mean ratio so near to 1 is 1: logged and computed probabilities differ in their last digits
DRAWS = 1_000  # of the bootstrap, or more, so that IN_TAIL of them lie beyond each end of an interval
IN_TAIL = 10
MOST_CONFIDENCE = 0.999
LOGGED = "logged"  # beside the estimators' names: the mean of the logged returns themselves
MARGIN = "margin"
LEAST_SPREAD = 0.1  # of the log's: a draw that happens to miss what varies is not taken for certain
AT_ONCE = 4_000_000  # counts of episodes in memory


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and between what it lies, at the judgement's confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one estimator says."""

    estimator: str
    """Its name in ESTIMATORS."""
    found: Interval | None
    """Mean discounted return; None: it does not count, and is not shown so that nobody uses it."""
    effective: float | None
    """Effective size, in episodes; None: there are no weights to take it from."""
    reason: str | None
    """Why it does not count; None: it does."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the log says of the policy."""

    estimates: tuple[Estimate, ...]
    """In order of preference."""
    headline: Estimate | None
    """The one that speaks; None: the policy cannot be judged offline."""
    reason: str | None
    """Why it cannot; None: it can."""
    logged: Interval
    """Mean discounted return of the logged episodes themselves."""
    discount: float
    confidence: float
    """Of every interval."""
    episodes: int
    """Logged ones."""
    mean_ratio: float | None
    """Of single timesteps; 1 where the log could hold all that the policy does. None: there are no ratios."""
    notes: tuple[str, ...]
    """What else a reader should know."""
    margin: Interval | None = None
    """The headline less the least that `max_regression` allows; None: nothing is allowed or held, or there is none."""

    @property
    def verdict(self) -> Verdict | None:
        """Whether the policy returns as much as is allowed; None: it is held to nothing, or cannot be judged."""
        if self.margin is None:
            return None
        if self.margin.low >= 0:
            return Verdict.PASS
        return Verdict.FAIL if self.margin.high < 0 else Verdict.NOT_ENOUGH_SAMPLES


def judge(
    logged: Logged,
    *,
    estimators: Sequence[str] = tuple(ESTIMATORS),
    confidence: float = 0.95,
    cap: int | None = None,
    least_effective: float | None = None,
    max_regression: float | None = None,
) -> Judgement:
    """Return what the log says of the policy.

    Intervals are a bootstrap's over episodes, and cut to the returns that are possible at all.

    Args:
        estimators: Names; of those that count, the first in the order of ESTIMATORS speaks.
        confidence: Of the intervals, in (0.5, MOST_CONFIDENCE].
        cap: The most timesteps of an episode; None: unknown.
        least_effective: Effective episodes that an estimate needs, where that is more than LEAST_EPISODES.
        max_regression: Share of the size of the logged return that the policy may return less, such as 0.05; None:
            it is held to nothing. Pass and Fail each come with half of what `confidence` leaves: one-sided.
    Raises: BadConfiguration when there is no such estimator, or `confidence` lies outside its range.
    Source: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), section 12.5 (bootstrap-t). Weighted
        returns are skew: percentiles of the same draws covered 87 % where these cover 93. Measured by
        `tests/long/trainer/test_ope_coverage.py`.
    Departs: The estimate of a draw is taken to first order, from the episodes' influences.
    """
    for name in estimators:
        if name not in ESTIMATORS:
            raise BadConfiguration(f"estimator {name!r} is not known: {did_you_mean(name, ESTIMATORS)}")
    if not 0.5 < confidence <= MOST_CONFIDENCE:
        raise BadConfiguration(f"confidence is {confidence:g}, wanted more than 0.5 and at most {MOST_CONFIDENCE}.")

    fits = {name: _fit(name, logged) for name in ESTIMATORS if name in estimators}
    counting = {name: fit for name, fit in fits.items() if isinstance(fit, Fit)}
    estimated = {LOGGED: mean_of(logged.returns)} | {name: fit.estimated for name, fit in counting.items()}
    found = _intervals(logged, estimated, confidence)
    possible = _possible(logged, cap)
    estimates = []
    for name, fit in fits.items():
        if not isinstance(fit, Fit):
            estimates.append(Estimate(name, found=None, effective=None, reason=fit))
            continue
        reason = _too_few(logged) or _against(
            name, fit, found[name].value, logged, possible, least_effective=least_effective
        )
        shown = None if reason else _cut(found[name], possible)
        estimates.append(Estimate(name, shown, fit.effective, reason))

    headline = _headline(estimates)
    margin = None
    if headline is not None and max_regression is not None:
        over = _over(counting[headline.estimator].estimated, estimated[LOGGED], max_regression)
        margin = _intervals(logged, {MARGIN: over}, confidence)[MARGIN]
    return Judgement(
        estimates=tuple(estimates),
        headline=headline,
        reason=None if headline else _why_not(estimates),
        logged=found[LOGGED],
        discount=logged.discount,
        confidence=confidence,
        episodes=logged.episodes,
        mean_ratio=_mean_ratio(logged),
        notes=tuple(_notes(estimates)),
        margin=margin,
    )


def _fit(name: str, logged: Logged) -> Fit | str:
    """The estimator that has seen the log, or why it has nothing to say."""
    try:
        return ESTIMATORS[name].estimate(logged)
    except NotJudged as error:
        return str(error)


def _intervals(logged: Logged, estimated: dict[str, Estimated], confidence: float) -> dict[str, Interval]:
    """Each number with its interval; all of them are asked of the same draws."""
    names, n = list(estimated), logged.episodes
    influences = np.stack([estimated[name].influences for name in names], axis=1)
    spread = influences.std(axis=0)
    generator = np.random.default_rng([logged.seed, n])
    draws = max(DRAWS, math.ceil(2 * IN_TAIL / (1 - confidence)))
    size = max(1, min(draws, AT_ONCE // n))
    pivots = []
    for first in range(0, draws, size):
        counts = generator.multinomial(n, np.full(n, 1 / n), size=min(size, draws - first)).astype(np.float64)
        means = counts @ influences / n
        spreads = np.sqrt(np.maximum(counts @ influences**2 / n - means**2, 0.0))
        least = np.maximum(LEAST_SPREAD * spread, np.finfo(np.float64).tiny)
        # How far a draw is off, in units of its own spread. The log is off the truth by as much, the other way round.
        pivots.append(means / np.maximum(spreads, least))
    low, high = np.quantile(np.concatenate(pivots), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0) * spread
    found = {}
    for place, name in enumerate(names):
        value = estimated[name].value
        found[name] = Interval(value, value - float(high[place]), value - float(low[place]))
    return found


def _over(target: Estimated, logged: Estimated, max_regression: float) -> Estimated:
    """The target's return less the least allowed: of one sample, so that what both returns share is no uncertainty."""
    allowed = logged.value - max_regression * abs(logged.value)
    share = 1 - max_regression * float(np.sign(logged.value))
    return Estimated(target.value - allowed, target.influences - share * logged.influences)


def _possible(logged: Logged, cap: int | None) -> tuple[float, float]:
    """Between what a policy's return lies, as far as logged rewards tell."""
    low, high = float(logged.dataset.rewards.min()), float(logged.dataset.rewards.max())
    if cap is None:
        longest = math.inf if logged.discount == 1 else 1 / (1 - logged.discount)
    else:
        # A log of the same task with another cap has shown that episodes may last longer.
        cap = max(cap, logged.horizon)
        longest = float((logged.discount ** np.arange(cap, dtype=np.float64)).sum())
    # An episode has one timestep at least, and may have no other.
    return (low * longest if low < 0 else low), (high * longest if high > 0 else high)


def _cut(found: Interval, possible: tuple[float, float]) -> Interval:
    low, high = possible
    return Interval(found.value, min(max(found.low, low), found.value), max(min(found.high, high), found.value))


def _too_few(logged: Logged) -> str | None:
    """So few episodes have no standard error that holds, so that nothing below could tell what is wrong."""
    if logged.episodes >= LEAST_EPISODES:
        return None
    return f"there are {logged.episodes} logged episodes, wanted {LEAST_EPISODES} at least: log more"


def _against(
    name: str,
    fit: Fit,
    value: float,
    logged: Logged,
    possible: tuple[float, float],
    *,
    least_effective: float | None,
) -> str | None:
    """The first thing that speaks against an estimate; None: it counts."""
    if fit.problem:
        return fit.problem
    if ESTIMATORS[name].BY_WEIGHTS and (reason := _wrong_ratios(logged)):
        return reason
    least = max(LEAST_EPISODES, least_effective or 0.0, LEAST_SHARE * logged.episodes)
    if not fit.effective >= least:
        return (
            f"the {logged.episodes} logged episodes are worth {fit.effective:.1f} of this policy's own, wanted "
            f"{least:.0f} at least: it seldom does what was logged"
        )
    # Weights may all be small alike: their effective size is large then, and what weighs much was never logged.
    if fit.mean_weight and fit.mean_weight.value + max(CLOSE, SURE * fit.mean_weight.stderr) < 1:
        mean, stderr = fit.mean_weight.value, fit.mean_weight.stderr
        return (
            f"the weights of the logged episodes average {mean:.3g} ± {stderr:.2g} where 1 is certain: much of what "
            "the policy does is in no logged episode"
        )
    low, high = possible
    slack = 1e-6 * (1 + abs(low if math.isfinite(low) else 0) + abs(high if math.isfinite(high) else 0))
    if not low - slack <= value <= high + slack:
        return f"it says {value:.4g}; with the logged rewards no policy's return lies outside {low:.4g} to {high:.4g}"
    return None


def _wrong_ratios(logged: Logged) -> str | None:
    found = logged.mean_ratio
    away, allowed = found.value - 1, max(CLOSE, SURE * found.stderr)
    if abs(away) <= allowed:
        return None
    said = f"π/b, the ratio of probabilities, averages {found.value:.3g} ± {found.stderr:.2g} where 1 is certain"
    if away < 0:
        return f"{said}: the policy takes actions that the log does not hold"
    return f"{said}: the column `propensity` is not the probability with which the logged actions were taken"


def _headline(estimates: Sequence[Estimate]) -> Estimate | None:
    by_weights = [one for one in estimates if ESTIMATORS[one.estimator].BY_WEIGHTS]
    return next((one for one in by_weights or estimates if one.reason is None), None)


def _why_not(estimates: Sequence[Estimate]) -> str:
    by_weights = [one for one in estimates if ESTIMATORS[one.estimator].BY_WEIGHTS]
    nearest = max(by_weights or estimates, key=lambda one: -1.0 if one.effective is None else one.effective)
    reason = f"{nearest.estimator}: {nearest.reason}"
    if by_weights and any(one.reason is None for one in estimates):
        return f"{reason}. What `fqe` says rests on a model alone: take it as advice"
    return reason


def _mean_ratio(logged: Logged) -> float | None:
    try:
        return logged.mean_ratio.value
    except NotJudged:
        return None


def _notes(estimates: Sequence[Estimate]) -> list[str]:
    counted = [(one.estimator, one.found) for one in estimates if one.found is not None]
    if len(counted) < 2:
        return []
    lowest = min(counted, key=lambda one: one[1].high)
    highest = max(counted, key=lambda one: one[1].low)
    if highest[1].low <= lowest[1].high:
        return []
    return [
        f"`{lowest[0]}` and `{highest[0]}` disagree: {lowest[1].high:.4g} at most, {highest[1].low:.4g} at least. The "
        "usual cause is a model that cannot express the values."
    ]
