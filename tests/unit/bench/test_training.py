"""The training bench's parts: whatever is measured has a band, before hours are spent on measuring it."""

from pathlib import Path
from typing import Any

import yaml

PARTS = Path(__file__).parents[3] / "bench" / "training"


def read(part: str) -> tuple[dict[str, Any], set[str]]:
    """Return a part's load, and the names of its bands."""
    load, ranges = (yaml.safe_load((PARTS / part / name).read_text()) for name in ("load.yaml", "ranges.yaml"))
    return load, set(ranges["bands"])


def test_every_training_has_a_band() -> None:
    load, bands = read("returns")
    assert bands == {f"{algorithm}.{task}" for algorithm, tasks in load["runs"].items() for task in tasks}


def test_every_algorithm_on_every_log_has_a_band() -> None:
    load, bands = read("offline")
    pairs = {
        f"{name}.{algorithm}"
        for name, log in load["logs"].items()
        for algorithm in load["tasks"][log["task"]]["algorithms"]
    }
    assert {band.removeprefix("belay.") for band in bands if band.startswith("belay.")} == pairs
    beside = {band.removeprefix("beside.") for band in bands if band.startswith("beside.")}
    assert pairs - beside == {name for name in pairs if name.startswith("cartpole-") and name.endswith(".iql")}
    assert len(bands) == len(pairs) + len(beside)
