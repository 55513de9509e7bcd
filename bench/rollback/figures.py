"""Which figures sum up many rollbacks."""

import math
import statistics
from collections.abc import Mapping, Sequence


def figures_of(took: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return medians and tails; a tail is the value that one rollback in a hundred exceeds, of fewer the longest."""
    found = {"rollbacks": float(len(took))}
    for figure, part in (("proof_to_last_request", "last"), ("proof_to_decided", "decided")):
        values = sorted(each[part] for each in took)
        found[f"{figure}_s_p50"] = statistics.median(values)
        found[f"{figure}_s_p99"] = values[math.ceil(0.99 * len(values)) - 1]
    for part in ("accepted", "drained"):
        found[f"decided_to_{part}_s_p50"] = statistics.median(each[part] for each in took)
    return found
