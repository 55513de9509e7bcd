"""One subject beside the worlds of `load.yaml`: run it, keep what was seen, and hold it against its bands.

A subject is `<name>.py` with `<name>.yaml` (what is done, and what is promised) and a range file for either size, which
bands.py sets. Promises are hard bounds there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ranges import check

HERE = Path(__file__).parent
Figures = Iterator[tuple[str, float, int]]
"""Name, what was seen, and over how many rollouts."""
Measure = Callable[[dict[str, Any], int], Figures]
"""From what is done, and to how many rollouts."""


def run(name: str, kind: str, measure: Measure) -> int:
    """Measure, print, hold against the bands; return the exit status. kind: full or quick."""
    load = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    size = load["runs"][kind]
    if "worlds" in size:
        load["worlds"] = {world: load["worlds"][world] for world in size["worlds"]}
    began, of_size = time.monotonic(), "" if kind == "full" else ".quick"
    measured: dict[str, tuple[float, int]] = {}
    for figure, value, rollouts in measure(load, size["rollouts"]):
        measured[figure] = round(float(value), 4), rollouts
        print(f"{time.monotonic() - began:6.0f} s  {figure} {measured[figure][0]:g}", file=sys.stderr)
    (HERE / f"results.{name}{of_size}.json").write_text(json.dumps(measured, indent=0) + "\n")
    print(f"{name}: {time.monotonic() - began:.0f} s, {time.process_time():.0f} s of CPU so far")
    return check(HERE / f"ranges.{name}{of_size}.yaml", {figure: value for figure, (value, _) in measured.items()})


def main(about: str | None, run_kind: Callable[[str], int]) -> int:
    """As a program of its own."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few worlds and rollouts, some seconds")
    return run_kind("quick" if parser.parse_args().quick else "full")
