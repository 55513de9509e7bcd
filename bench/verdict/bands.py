"""Set the bands of the range files from what the last runs have written, once their figures have been read.

    python bench/verdict/bands.py       after `make bench-verdict` and `make bench-verdict ARGS=--quick`

A promise of load.yaml is a hard bound whatever was seen: the promised share and 3 binomial standard errors of it over
the rollouts of that world, so that a rule that just keeps it passes with another seed. Everything else is what was seen
and 4 standard errors and 0.005 (shares), or 10 % (medians). A figure beyond its promise stops here: it is mended, or
listed with its reason under `unprotected`.
"""

from __future__ import annotations

import json
import math
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ABOUT = {
    "machine": "2 cores at 2 GHz class, one used; figures depend on the seed and NumPy's generator, not on the machine",
    "runs": 1,
    "margin": (
        "Set by bands.py. Promises (load.yaml): the promised share and 3 binomial standard errors of it, never more. "
        "Other shares: 4 standard errors of what was seen and 0.005, so that another seed passes. Medians: 10 %. "
        "spread is the standard error."
    ),
}


def band(name: str, value: float, rollouts: int, rules: dict[str, Any]) -> dict[str, Any]:
    """Return the band of one figure.

    Raises: ValueError where a promise is not kept.
    """
    found: dict[str, Any]
    if ".median" in name:
        found = {"min": round(0.9 * value, 1), "max": round(1.1 * value, 1), "mean": value}
    else:
        spread = math.sqrt(max(value * (1 - value), 1 / rollouts) / rollouts)
        found = {
            "min": round(max(0.0, value - 4 * spread - 0.005), 4),
            "max": round(min(1.0, value + 4 * spread + 0.005), 4),
            "mean": value,
            "spread": round(spread, 4),
        }
    said = [rule for rule in rules["promises"] if fnmatchcase(name, rule["figures"])]
    unprotected = [why for figures, why in rules["unprotected"].items() if fnmatchcase(name, figures)]
    if said and not unprotected:
        most = said[0]["max"]
        slack = 3 * math.sqrt(most * (1 - most) / rollouts)
        if value > most + slack:
            raise ValueError(f"{name}: {value} over {rollouts} rollouts breaks the promise of {most}")
        found["max"] = round(min(found["max"], most + slack), 4)
        found["target"] = most
    elif unprotected:
        found["why"] = unprotected[0]
    for target in rules["targets"]:
        if name == target["figure"]:
            found["target"] = target["target"]
            if "why" in target:
                found["why"] = target["why"]
    return found


def main() -> int:
    """Write every range file whose run has left results; exit status 1 where a promise is broken."""
    rules = yaml.safe_load((HERE / "load.yaml").read_text())
    broken = []
    for results, ranges in (
        ("results.json", "ranges.yaml"),
        ("results.quick.json", "ranges.quick.yaml"),
        ("results.peers.json", "ranges.peers.yaml"),
    ):
        if not (HERE / results).exists():
            continue
        theirs = {"promises": [], "unprotected": {}, "targets": []} if "peers" in results else rules
        lines = [f"# Written by bands.py from {results}; what may be changed by hand stands in load.yaml.\n"]
        lines.append(yaml.safe_dump({"about": ABOUT}, sort_keys=False, width=120, allow_unicode=True))
        lines.append("bands:\n")
        order = list(rules["worlds"])
        measured = json.loads((HERE / results).read_text())
        for name, (value, rollouts) in sorted(measured.items(), key=lambda one: order.index(one[0].split(".")[0])):
            try:
                values = band(name, value, rollouts, theirs)
            except ValueError as error:
                broken.append(str(error))
                continue
            told = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
            lines.append(f"  {name}: {told.strip()}\n")
        (HERE / ranges).write_text("".join(lines))
    for fault in broken:
        print(f"FAIL {fault}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
