"""False rollbacks, detection and the episodes it takes, on a time axis, beside the rules people write and real peers.

    make bench-verdict                          every world and part, about half an hour of one core
    make bench-verdict ARGS=--quick             a few worlds and rollouts, without the peers
    make bench-verdict ARGS="--only ramp,late"  the worlds whose name begins so, against their bands alone

A rollout with an equal candidate that any test fails at any of 240 looks counts as a false rollback, also after it
passed: Fail holds at every step. A drop is found when Fail comes before Pass. Figures are kept in results*.json, from
which bands.py sets the range files.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from belay_operator.rollout.analysis.budget import split
from ranges import check
from verdict import autocorrelation, delayed, experiments, guards, ratchet, regret, watched
from verdict.measure import Trial, measure
from verdict.peers import Peers

HERE = Path(__file__).parent
PARTS = (guards, ratchet, watched, experiments, delayed, autocorrelation, regret)  # beside the worlds


def main() -> int:
    """Run, print, and hold the figures against their bands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few worlds and rollouts, about a minute")
    parser.add_argument(
        "--only", default="", help="comma-separated beginnings of names of worlds; names of parts: guards, delayed, …"
    )
    parser.add_argument("--without-peers", action="store_true", help="although they are installed")
    asked = parser.parse_args()
    kind = "quick" if asked.quick else "full"
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    run = load["runs"][kind]
    only = tuple(part for part in asked.only.split(",") if part)
    peers = None if asked.quick or asked.without_peers else Peers.installed(run["peer_rollouts"])

    began, kept = time.monotonic(), "" if kind == "full" else ".quick"
    ours: dict[str, tuple[float, int]] = {}
    theirs: dict[str, tuple[float, int]] = {}
    for trial in trials(load, run):
        if only and not f"{trial.name}.".startswith(only):
            continue
        rollouts = max(1, round(run["rollouts"] * trial.share))
        for drop in trial.drops:
            figures = measure(
                trial,
                drop,
                margin=load["margin"],
                seed=load["seed"],
                rollouts=rollouts,
                budget=split(load["false_rollback_rate"], 1),
                peers=peers if drop in load["peers"].get(trial.name, ()) else None,
            )
            ours |= {name: (value, rollouts) for name, value in figures[0].items()}
            theirs |= {name: (value, run["peer_rollouts"]) for name, value in figures[1].items()}
            _keep(HERE / f"results{kept}.json", ours)
            _keep(HERE / "results.peers.json", theirs)
            print(f"{time.monotonic() - began:6.0f} s  {trial.name}, drop {drop:.1%}", file=sys.stderr)
    status = 0
    for which, measured in ((kept, ours), (".peers", theirs)):
        if measured:
            among = tuple(f"{name}." for name in load["worlds"] if f"{name}.".startswith(only)) if only else ()
            values = {name: value for name, (value, _) in measured.items()}
            status |= check(HERE / f"ranges{which}.yaml", values, among=among)
    print(f"{run['rollouts']} rollouts a world and drop, {time.monotonic() - began:.0f} s")
    for part in PARTS:
        if not only or part.__name__.rpartition(".")[2] in only:
            status |= part.run(kind)
    return status


def _keep(path: Path, measured: dict[str, tuple[float, int]]) -> None:
    """Write each figure with the number of its rollouts, among those of worlds that an earlier run has done."""
    before = json.loads(path.read_text()) if path.exists() else {}
    if measured:
        path.write_text(json.dumps({**before, **measured}, indent=0) + "\n")


def trials(load: dict[str, Any], run: dict[str, Any]) -> list[Trial]:
    """The worlds of a run, in order."""
    wanted = load["worlds"] if run["worlds"] == "all" else run["worlds"]
    always = {"schedule": load["schedule"], "earlier": load["earlier"]}
    return [Trial.read(name, load["worlds"][name], **always) for name in wanted]


if __name__ == "__main__":
    sys.exit(main())
