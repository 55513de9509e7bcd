"""Hold measurements against their bands; the one checker of every benchmark.

A range file names every measurement of its benchmark and nothing else, so that a figure can neither vanish nor
appear unnoticed:

    about: {machine: 2 cores, runs: 3, margin: "why the bands are this wide"}
    bands:
      found: {min: 0.97, mean: 0.99, spread: 0.002, target: 0.97, why: "..."}

`min` and `max` (at least one) fail the run. `mean` and `spread` are what was seen when the band was set; `target` is
the design's, printed beside the figure; `why` explains a margin, or what stands between figure and target.

    from ranges import check
    sys.exit(check(Path(__file__).with_name("ranges.yaml"), {"found": 0.98}))
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE_KEYS = {"about", "bands"}
BAND_KEYS = {"min", "max", "mean", "spread", "target", "why"}


def faults(ranges: Mapping[str, Any], measured: Mapping[str, float]) -> list[str]:
    """Return a sentence for everything wrong with the file, the measurements, or both; empty when all is well."""
    bands: Mapping[str, Mapping[str, Any]] = ranges.get("bands") or {}
    found = [f"unknown key {key!r} at the top of the range file" for key in sorted(set(ranges) - FILE_KEYS)]
    for name, band in bands.items():
        found += [f"{name}: unknown key {key!r}" for key in sorted(set(band) - BAND_KEYS)]
        if not {"min", "max"} & set(band):
            found.append(f"{name}: a band needs min or max")
        if name not in measured:
            found.append(f"{name}: has a band but was not measured")
    for name, value in measured.items():
        if name not in bands:
            found.append(f"{name}: measured {value:.6g} but has no band")
        elif not math.isfinite(value):
            found.append(f"{name}: measured {value}, which no band can hold")
        else:
            low, high = bands[name].get("min", -math.inf), bands[name].get("max", math.inf)
            if not low <= value <= high:
                found.append(f"{name}: measured {value:.6g}, outside its band {low:.6g} to {high:.6g}")
    return found


def table(ranges: Mapping[str, Any], measured: Mapping[str, float]) -> str:
    """Return the measurements as lines: figure, target, band."""
    bands = ranges.get("bands") or {}
    rows = [("measurement", "figure", "target", "band")]
    for name, value in measured.items():
        band = bands.get(name, {})
        limits = f"{band.get('min', '')}..{band.get('max', '')}"
        rows.append((name, f"{value:.4g}", str(band.get("target", "")), limits))
    width = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(cell.ljust(size) for cell, size in zip(row, width, strict=True)) for row in rows)


def check(path: Path, measured: Mapping[str, float], *, among: tuple[str, ...] = ()) -> int:
    """Print the table and every fault; return the process's exit status, 1 when there is a fault.

    Args:
        among: How the names of what was to be measured begin, where that was only a part; empty: everything.
    """
    ranges = yaml.safe_load(path.read_text())
    if among:
        bands = ranges.get("bands") or {}
        ranges["bands"] = {name: band for name, band in bands.items() if name.startswith(among)}
    print(table(ranges, measured))
    found = faults(ranges, measured)
    for fault in found:
        print(f"FAIL {fault}", file=sys.stderr)
    print(f"{path.name}: {'within all bands' if not found else f'{len(found)} faults'}")
    return 1 if found else 0
