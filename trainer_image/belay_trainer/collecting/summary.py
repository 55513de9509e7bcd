"""What a collection comes to, policy by policy, read from its parts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from belay_trainer.datasets.columns import COST
from belay_trainer.local.progress import number


def summary(parts: Sequence[Path]) -> tuple[str, ...]:
    """Return a line for each policy: how many episodes it played, what they return, what they cost."""
    from arro3.io import read_parquet  # noqa: PLC0415  only where a file is read

    policies: list[str] = []
    figures: dict[str, list[float]] = {}
    for part in parts:
        table = read_parquet(part).read_all()
        columns = {name: table[name].combine_chunks() for name in table.column_names}
        begins = np.asarray(columns["step"]) == 0
        policies += np.array(columns["policy"].to_pylist())[begins].tolist()
        episode = np.cumsum(begins) - 1  # rows stand in the order of episodes
        for name in ("reward", *(name for name in columns if name.startswith(COST))):
            totals = np.bincount(episode, weights=np.asarray(columns[name]))
            figures.setdefault("return" if name == "reward" else name, []).extend(totals.tolist())
    played = np.array(policies)
    return tuple(
        f"{policy}: {(played == policy).sum():,} episodes, "
        + ", ".join(f"{name} {_mean(np.array(totals)[played == policy])}" for name, totals in figures.items())
        + "."
        for policy in sorted(set(policies))
    )


def _mean(totals: np.ndarray) -> str:
    """Return a mean with its standard error, which one episode does not have."""
    if len(totals) == 1:
        return number(float(totals[0]))
    error = number(float(totals.std(ddof=1) / np.sqrt(len(totals))))
    return f"{number(float(totals.mean()))} (standard error {error})"
