"""The report of a suite: for each environment a table and a picture of its algorithms, random actions among them.

Nothing is ranked: with five seeds intervals are wide, and where they overlap an order would be chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belay_api.outcomes import RandomReturn
from belay_api.summary import FEWEST_SEEDS
from belay_api.training import TrainingReport
from belay_trainer.local.folder import RunFolder
from belay_trainer.local.progress import number
from belay_trainer.reporting import curves
from belay_trainer.reporting.document import Document, Heading, Paragraph, Part, Picture, Table
from belay_trainer.reporting.result import Result
from belay_trainer.trackers.json_lines import Row, read_rows

_HEADER = (
    "algorithm", "mean", "std", "stderr", "interquartile mean", "95 % interval", "seeds", "timesteps", "steps/s",
)  # fmt: skip
_RANDOM = "random actions"


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one pair."""

    environment: str
    algorithm: str
    result: Result
    folder: RunFolder
    code: int  # as `belay-trainer run` would have ended


def document(name: str, played: Sequence[Played]) -> Document:
    """Return the report; its pictures are those of `draw`."""
    parts: list[Part] = [
        Paragraph(
            "Returns are those of each seed's published checkpoint, in greedy episodes from starts that chose nothing. "
            "std and stderr are over seeds: the standard deviation, and the standard error of the mean. "
            f"Intervals are of the interquartile mean over seeds, by bootstrap, and take {FEWEST_SEEDS} seeds."
        )
    ]
    for environment, pairs in _by_environment(played).items():
        parts.append(Heading(environment))
        parts.append(Table(_HEADER, [*map(_row, pairs), _random_row(random_return(pairs))]))
        if any(map(_rows, pairs)):
            parts.append(Picture(_picture(environment), "Returns of evaluations while training, over the seeds."))
        if messages := [
            [pair.algorithm, str(r.seed), r.message] for pair in pairs for r in _reports(pair) if r.message
        ]:
            parts.append(Table(("algorithm", "seed", "what it said"), messages))
    return Document(f"Suite {name}", parts, facts=facts(name, played))


def facts(name: str, played: Sequence[Played]) -> dict[str, Any]:
    """Return the report for programs, in the words of the API."""
    randoms = {env: random_return(pairs) for env, pairs in _by_environment(played).items()}
    return {
        "suite": name,
        "random": {env: found.dump() if found else None for env, found in randoms.items()},
        "pairs": [
            {
                "environment": pair.environment,
                "algorithm": pair.algorithm,
                "job": pair.result.config.job,
                "spec": pair.result.config.spec.said(),
                "aggregate": pair.result.aggregate.dump() if pair.result.aggregate else None,
                "seeds": [report.dump() for report in _reports(pair)],
            }
            for pair in played
        ],
    }


def draw(played: Sequence[Played], folder: Path) -> None:
    """Write a picture for each environment in which anything was evaluated."""
    for environment, pairs in _by_environment(played).items():
        evaluated = {pair.algorithm: rows for pair in pairs if (rows := _rows(pair))}
        if evaluated:
            random = random_return(pairs)
            mean = random.mean if random else None
            curves.draw_side_by_side(evaluated, folder / _picture(environment), title=environment, random=mean)


def random_return(pairs: Sequence[Played]) -> RandomReturn | None:
    """Return what random actions return in an environment: the episodes of all seeds together.

    They do not depend on the algorithm, so those that another one played with the same seed are the same.

    Returns: None where no seed measured any.
    """
    by_seed = {r.seed: r.random for pair in pairs for r in _reports(pair) if r.random is not None}
    episodes = sum(random.episodes for random in by_seed.values())
    if not episodes:
        return None
    total = sum(random.mean * random.episodes for random in by_seed.values())
    return RandomReturn(mean=total / episodes, episodes=episodes)


def _row(pair: Played) -> list[str]:
    found, spec = pair.result.aggregate, pair.result.config.spec
    rates = [report.steps_per_second for report in _reports(pair) if report.steps_per_second]
    return [
        pair.algorithm,
        *(
            number(one) if one is not None else "–"
            for one in ((found.mean, found.std, found.stderr, found.iqm) if found else (None,) * 4)
        ),
        f"{number(found.ci95[0])} to {number(found.ci95[1])}" if found and found.ci95 else "–",
        f"{found.seeds if found else 0} of {spec.seeds.count}",
        f"{spec.budget.steps:,}",
        f"{sum(rates) / len(rates):,.0f}" if rates else "–",
    ]


def _random_row(random: RandomReturn | None) -> list[str]:
    if random is None:
        return [_RANDOM, "not measured", *["–"] * (len(_HEADER) - 2)]
    return [f"{_RANDOM} ({random.episodes} episodes)", number(random.mean), *["–"] * (len(_HEADER) - 2)]


def _by_environment(played: Sequence[Played]) -> dict[str, list[Played]]:
    found: dict[str, list[Played]] = {}
    for pair in played:
        found.setdefault(pair.environment, []).append(pair)
    return found


def _reports(pair: Played) -> list[TrainingReport]:
    return [pair.result.reports[index] for index in sorted(pair.result.reports)]


def _rows(pair: Played) -> Mapping[int, Sequence[Row]]:
    """Return the curves of the seeds that were evaluated."""
    seeds = pair.result.config.spec.seeds
    rows = {
        seed: list(read_rows(pair.folder.seed(seed).curves)) for seed in range(seeds.first, seeds.first + seeds.count)
    }
    return {seed: curve for seed, curve in rows.items() if any("return" in row.metrics for row in curve)}


def _picture(environment: str) -> str:
    return f"{environment}.png"
