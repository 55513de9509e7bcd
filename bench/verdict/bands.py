"""Set the bands of the range files from what the last runs have written, once their figures have been read.

    python bench/verdict/bands.py       after `make bench-verdict` and `make bench-verdict ARGS=--quick`

A promise of load.yaml, or of a part's own file, is a hard bound whatever was seen: the promised share and 3 binomial
standard errors of it over the rollouts of that world, so that a rule that just keeps it passes with another seed.
Everything else is what was seen and 4 standard errors and 0.005 (shares), or 10 % (medians and 95th percentiles). A
figure beyond its promise stops here: it is mended, or listed with its reason under `unprotected`. The guard rails, the
ratchet and the watch have bands set by hand.
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
PARTS = ("experiments", "delayed", "autocorrelation", "regret")  # beside the worlds, each with promises of its own
ABOUT = {
    "machine": "2 cores at 2 GHz class, one used; figures depend on the seed and NumPy's generator, not on the machine",
    "runs": 1,
    "margin": (
        "Set by bands.py. Promises ({load}): the promised share and 3 binomial standard errors of it, never more. "
        "Other shares: 4 standard errors of what was seen and 0.005, so that another seed passes. Medians: 10 %. "
        "spread is the standard error."
    ),
}


def band(name: str, value: float, rollouts: int, rules: dict[str, Any]) -> dict[str, Any]:
    """Return the band of one figure.

    Raises: ValueError where a promise is not kept.
    """
    found: dict[str, Any]
    if name.rpartition(".")[2].startswith(("median", "p95")):
        digits = 1 if value >= 10 else 2
        found = {"min": round(0.9 * value, digits), "max": round(1.1 * value, digits), "mean": value}
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
    worlds = yaml.safe_load((HERE / "load.yaml").read_text())
    theirs = {**worlds, "promises": [], "unprotected": {}, "targets": []}
    broken = [
        *_write("", worlds, "load.yaml"),
        *_write(".quick", worlds, "load.yaml"),
        *_write(".peers", theirs, "load.yaml"),
    ]
    for name in PARTS:
        rules = yaml.safe_load((HERE / f"{name}.yaml").read_text())
        broken += [fault for size in ("", ".quick") for fault in _write(f".{name}{size}", rules, f"{name}.yaml")]
    for fault in broken:
        print(f"FAIL {fault}", file=sys.stderr)
    return 1 if broken else 0


def _write(which: str, rules: dict[str, Any], load: str) -> list[str]:
    """Write one range file, if its run has left results; return the promises that are broken."""
    results, broken = HERE / f"results{which}.json", []
    if not results.exists():
        return []
    lines = [f"# Written by bands.py from {results.name}; what may be changed by hand stands in {load}.\n"]
    about = {**ABOUT, "margin": ABOUT["margin"].format(load=load)}
    lines.append(yaml.safe_dump({"about": about}, sort_keys=False, width=120, allow_unicode=True))
    lines.append("bands:\n")
    order = list(rules["worlds"])
    measured = json.loads(results.read_text())
    for name, (value, rollouts) in sorted(measured.items(), key=lambda one: order.index(one[0].split(".")[0])):
        try:
            values = band(name, value, rollouts, rules)
        except ValueError as error:
            broken.append(str(error))
            continue
        told = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
        lines.append(f"  {name}: {told.strip()}\n")
    (HERE / f"ranges{which}.yaml").write_text("".join(lines))
    return broken


if __name__ == "__main__":
    sys.exit(main())
