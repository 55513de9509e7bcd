"""What a collection comes to, policy by policy, read from its file."""

from pathlib import Path

import numpy as np

from belay_trainer.datasets.columns import COST


def summary(path: Path) -> list[str]:
    """Return a line for each policy: how many episodes it played, what they return, what they cost."""
    from arro3.io import read_parquet  # noqa: PLC0415  only where a file is read

    table = read_parquet(path).read_all()
    step = np.asarray(table["step"].combine_chunks())
    episode = np.cumsum(step == 0) - 1  # rows stand in the order of episodes
    policies = np.array(table["policy"].combine_chunks().to_pylist())[step == 0]
    figures = {"return": _totals(table["reward"], episode)}
    figures |= {name: _totals(table[name], episode) for name in table.column_names if name.startswith(COST)}
    found = []
    for policy in sorted(set(policies)):
        mine = policies == policy
        told = ", ".join(f"{name} {_mean(totals[mine])}" for name, totals in figures.items())
        found.append(f"{policy}: {mine.sum():,} episodes, {told}.")
    return found


def _totals(column: object, episode: np.ndarray) -> np.ndarray:
    return np.bincount(episode, weights=np.asarray(column.combine_chunks()))  # type: ignore[attr-defined]


def _mean(totals: np.ndarray) -> str:
    """Return a mean with its standard error, which one episode does not have."""
    if len(totals) == 1:
        return f"{totals[0]:.4g}"
    return f"{totals.mean():.4g} ± {totals.std(ddof=1) / np.sqrt(len(totals)):.2g}"
