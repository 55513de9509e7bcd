"""One number that was measured and the limit it is held to: Pass, Fail, or not enough episodes to say either."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from belay_api.gates import MOST_TIMES
from belay_api.reasons import Verdict
from belay_trainer.validation.bounds import Floats, mean_bounds

LOOKS = tuple(2**look for look in range(int(math.log2(MOST_TIMES)) + 1))
"""Times the episodes asked for, until they tell: 1, 2 and 4. Each look has an equal part of the gate's error."""
NEVER = 20.0  # a mean that is so many times nearer to its limit than to its bounds stays untold

_GRAVITY = (Verdict.PASS, Verdict.NOT_ENOUGH_SAMPLES, Verdict.NO_DATA, Verdict.FAIL)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a check measured."""

    name: str
    """What was measured, e.g. `return with noise 0.05`."""
    verdict: Verdict
    message: str
    """Measured and limit in words, and what can be done where it did not pass."""
    value: float | None = None
    """None: nothing was measured."""
    low: float | None = None
    """One-sided lower bound of it, at the gate's confidence over all looks; None: there is none."""
    high: float | None = None
    """Upper bound, likewise."""
    limit: float | None = None
    """In the unit of `value`."""
    episodes: int | None = None
    """Over so many; None: it is not of episodes."""
    unit: str = ""
    """Of the numbers: `%`, `ms`, or none, as returns have."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A mean that was held to a limit."""

    verdict: Verdict
    mean: float
    low: float
    high: float
    limit: float
    episodes: int
    at_most: bool = False  # the limit is one from above

    def mapped(self, *, scale: float, offset: float = 0.0) -> Self:
        """Return the same of the mean of `scale` · x + `offset`, to 12 digits: two that cancel leave 0."""
        found = (scale * x + offset for x in (self.mean, self.low, self.high, self.limit))
        mean, one, other, limit = (round(x, 12) + 0.0 for x in found)  # + 0.0: of -1e-15 there is left -0.0
        low, high = min(one, other), max(one, other)
        return replace(self, mean=mean, low=low, high=high, limit=limit, at_most=self.at_most != (scale < 0))

    def told(self, name: str, *, field: str, confidence: float, unit: str = "") -> Measurement:
        """Return it as a measurement with its sentence.

        Args:
            name: What the mean is of.
            field: The limit's, e.g. `minReturn`.
            unit: Of the mean, e.g. `%`.
        """
        mean, low, high, limit = (f"{x:.4g} {unit}".rstrip() for x in (self.mean, self.low, self.high, self.limit))
        sure, over = f"with {100 * confidence:g} % confidence", f"over {self.episodes} episodes"
        above, below = f"at least {low} {sure}", f"at most {high} {sure}"
        match self.verdict:
            case Verdict.PASS:
                words = f"{mean} {over}, {below if self.at_most else above}: {field} {limit} is kept."
            case Verdict.FAIL:
                words = f"{mean} {over}, {above if self.at_most else below}: {field} {limit} is not kept."
            case _:
                words = (
                    f"{mean} {over}, which could be {low} to {high}: that does not tell whether {field} {limit} is "
                    f"kept. {self.advice()}"
                )
        return Measurement(
            name,
            self.verdict,
            f"{name}: {words}",
            value=self.mean,
            low=self.low,
            high=self.high,
            limit=self.limit,
            episodes=self.episodes,
            unit=unit,
        )

    def advice(self) -> str:
        """Return what to do where episodes do not tell. Bounds narrow with the root of their number, or faster."""
        gap = abs(self.mean - self.limit)
        width = max(self.mean - self.low, self.high - self.mean)
        if gap * NEVER <= width:
            return "It is too near for more episodes to tell: move the limit, or train on."
        return f"About {math.ceil(self.episodes * max(1.0, width / gap) ** 2)} episodes would."


def judge_mean(
    sample: Callable[[int], tuple[Floats, float, float]], *, episodes: int, limit: float, confidence: float
) -> Judged:
    """Return whether a mean is at least `limit`, after more and more episodes until they tell.

    A mean below the limit passes with probability 1 - confidence at most, over all looks together, and one that is not
    below it fails with as much at most: errors of the looks add (Bonferroni).

    Args:
        sample: Takes a number of episodes and returns a value of each, the same ones first, and between what all values
            lie.
        episodes: Of the first look.
    """
    alpha = (1 - confidence) / len(LOOKS)
    for times in LOOKS:
        values, lowest, highest = sample(times * episodes)
        low, high = mean_bounds(values, low=lowest, high=highest, alpha=alpha)
        verdict = Verdict.PASS if low >= limit else Verdict.FAIL if high < limit else Verdict.NOT_ENOUGH_SAMPLES
        found = Judged(verdict, float(values.mean()), low, high, limit, len(values))
        if verdict is not Verdict.NOT_ENOUGH_SAMPLES:
            break
    return found


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict of a whole of which every part must pass.

    Its error is that of one part: a whole that breaks a limit passes only if that very part does.

    Source: Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982), the
        intersection-union test.
    """
    return max(verdicts, key=_GRAVITY.index)
