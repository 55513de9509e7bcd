"""What came of a run in a few sentences, for a terminal and a report, and how sure they are."""

from collections.abc import Sequence
from math import sqrt

from belay_api.summary import FEWEST_SEEDS
from belay_api.training import Aggregate, TrainingReport
from belay_trainer.local.progress import number
from belay_trainer.reporting.result import Result
from belay_trainer.student import welch

FEWEST_EPISODES = 10  # of a mean that is compared: returns are no normal numbers, and of fewer the test would be wrong
WRONG = 0.05  # of reports on a policy no better than random actions say that it differs


def sentences(result: Result) -> list[str]:
    """Return the result in a few lines, for a terminal as well."""
    found = result.aggregate
    gates = [_gates(one) for _, one in sorted(result.reports.items()) if one.validation is not None]
    if found is None:
        return ["No seed has a policy that can be published, so there is no result.", *gates]
    best, below = found.best, [f"It is {found.best.floor.words()}."] if found.best.floor else []
    if best.return_ is None or found.mean is None or found.iqm is None:
        judged = f": {best.estimate.words()}" if best.estimate else ""
        return [f"{found.seeds} seed{'s' if found.seeds > 1 else ''}. Best: seed {best.seed}{judged}.", *below]
    if found.ci95 is not None:
        span = f"95 % interval {number(found.ci95[0])} to {number(found.ci95[1])}"
    else:
        span = f"no interval: that takes {FEWEST_SEEDS} seeds"
    lines = [
        f"Return over {found.seeds} seed{'s' if found.seeds > 1 else ''}: mean {number(found.mean)}, "
        f"interquartile mean {number(found.iqm)}, {span}.",
        f"Best: seed {best.seed}, return {number(best.return_)}"
        + (f" at timestep {best.step:,}." if best.step is not None else "."),
    ]
    return [*lines, _beside_random(result, best.return_, found), *below, *gates]


def _gates(report: TrainingReport) -> str:
    """Return what came of the gates of a seed."""
    found = report.validation
    if found is None or found.failure is None:
        return f"Seed {report.seed} passed its gates."
    missed = found.failure
    return f"Seed {report.seed} did not pass {missed.gate} ({missed.verdict.value}): {missed.message}"


def standard_error(std: float, episodes: int) -> float | None:
    """Return the standard error of a mean; None: one episode has none.

    Args:
        std: Over the episodes, as NumPy has it: divided by their number, not by one less.
    """
    return std / sqrt(episodes - 1) if episodes > 1 else None


def told_apart(gain: float, errors: Sequence[float], *, episodes: Sequence[int], chosen_from: int) -> bool:
    """Return whether a difference of two means is more than chance makes of equal ones in 1 of 20 reports.

    Args:
        gain: The difference.
        errors: Standard errors of the two means.
        episodes: Independent ones behind each, 2 or more.
        chosen_from: Seeds whose best was taken; among many, one is far off by chance.
    Source: Welch's test with Bonferroni's correction (Dunn, "Multiple comparisons among means", JASA 56, 1961).
    """
    return welch(abs(gain), errors, episodes) < WRONG / (2 * chosen_from)


def finding_lines(result: Result) -> list[str]:
    """Return what the diagnosis tells, a line each, for a terminal."""
    return [
        f"Seed {report.seed}, {one.reason}: {one.message} {one.advice}"
        for _, report in sorted(result.reports.items())
        for one in report.findings
    ]


def _beside_random(result: Result, best_return: float, found: Aggregate) -> str:
    """Return how the best policy compares with random actions."""
    best = found.best
    if best.random is None:
        return "What random actions return is not known: such episodes did not end within a small part of the budget."
    gain = best_return - best.random.mean
    told = f"Random actions return {number(best.random.mean)} ({best.random.episodes} episodes): the best policy is "
    known = result.manifest.outcomes.get("return") if result.manifest else None
    played = [one for one in (known.evaluated, known.random) if one is not None] if known else []
    errors = [error for one in played if (error := standard_error(one.std, one.episodes)) is not None]
    if len(errors) < 2 or min(one.episodes for one in played) < FEWEST_EPISODES:
        side = "above" if gain > 0 else "below"
        few = f"of one of the two fewer than {FEWEST_EPISODES} episodes are known"
        return f"{told}{number(abs(gain))} {side} that, which may be chance: {few}."
    if not told_apart(gain, errors, episodes=[one.episodes for one in played], chosen_from=found.seeds):
        return f"{told}not told apart from them in {played[0].episodes} episodes (difference {number(gain)})."
    return f"{told}{number(abs(gain))} {'better' if gain > 0 else 'worse'}."
