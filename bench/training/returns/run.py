"""What a preset is worth: every algorithm on every task, over seeds, beside the zoo's published numbers.

    make bench-training ARGS="returns [--only ALGORITHM[:TASK] ...] [--jobs N]"

Each training is a training pod's whole life without a logbook: evaluations choose a checkpoint, and the return is
measured again in 100 episodes that chose nothing. All of `load.yaml` takes hours of a core; what was trained is kept in
`results.jsonl`, a line each under a name that its preset and its budget are part of, and is not trained again.

Runs inside the trainer's image with simulators; started elsewhere it enters that image by itself. Does not show: other
versions of the libraries than the image's, GPUs.
"""

import argparse
import hashlib
import inspect
import json
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LOOKS = 20  # evaluations of a training
RESULTS = HERE / "results.jsonl"
LAYERS = ("examples/hidden-velocity", "bench/training/returns")  # folders of the layers that `wrappers` names
IMAGE = "belay-trainer-simulators"  # the trainer's, with MuJoCo


def main() -> int:
    """Train what is not known yet, print the table, hold it against the bands."""
    parser = argparse.ArgumentParser(description="returns of every preset beside the zoo's")
    parser.add_argument("--only", nargs="+", default=[], help="algorithms, or algorithm:task")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings side by side")
    parser.add_argument("--seeds", type=int, nargs="+", help="those that this run trains; default: all of load.yaml")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT / room) for room in ("bench", "api", "trainer_image", *LAYERS)]
    from inside import run_inside  # noqa: PLC0415  found only now
    from ranges import check  # noqa: PLC0415

    if find_spec("stable_baselines3") is None:
        return run_inside([Path(__file__).resolve(), *sys.argv[1:]], image=IMAGE)

    load = yaml.safe_load((HERE / "load.yaml").read_text())
    wanted = [
        (algorithm, task, what)
        for algorithm, tasks in load["runs"].items()
        for task, what in tasks.items()
        if not options.only or {algorithm, f"{algorithm}:{task}"} & set(options.only)
    ]
    known = train(wanted, load, seeds=options.seeds or range(load["seeds"]), jobs=options.jobs)
    print(table(wanted, load, known))
    measured = {
        f"{algorithm}.{task}": statistics.mean(returns)
        for algorithm, task, _ in wanted
        if (returns := of(algorithm, task, load, known))
    }
    return check(HERE / "ranges.yaml", measured, among=tuple(measured))


def train(
    wanted: list[tuple[str, str, dict[str, Any]]], load: dict[str, Any], *, seeds: Iterable[int], jobs: int
) -> dict[str, Any]:
    """Train every seed that is not known, and return all results by training, seed and what decides it."""
    known = {line.pop("training"): line for line in map(json.loads, RESULTS.read_text().splitlines())}
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        waiting = {}
        for algorithm, task, what in wanted:
            for seed in seeds:
                name = key(algorithm, task, what, load, seed)
                if name not in known:
                    waiting[pool.submit(one, algorithm, task, what, load, seed)] = name
        for number, done in enumerate(as_completed(waiting), 1):
            name, seen = waiting[done], done.result()
            known[name] = seen
            print(f"{number}/{len(waiting)} {name}: {seen['return']:.1f}", flush=True)
            with RESULTS.open("a") as file:  # a line is written at once: two runs may add theirs
                file.write(json.dumps({"training": name} | seen) + "\n")
    return known


def key(algorithm: str, task: str, what: dict[str, Any], load: dict[str, Any], seed: int) -> str:
    """Return what a training is known by: its preset is part of it, and the layers around its task.

    What the library takes anyway is left out: a preset that begins to say it trains as before.
    """
    from belay_api.algorithms import AlgorithmSpec  # noqa: PLC0415  what only the image has
    from belay_trainer.learners import LEARNERS  # noqa: PLC0415
    from belay_trainer.presets.preset import PresetContext  # noqa: PLC0415

    steps, layers = what["steps"], (what["wrappers"],) if "wrappers" in what else ()
    settings = AlgorithmSpec.model_validate({algorithm: {}}).settings
    preset = LEARNERS[algorithm].settings(settings, PresetContext(environment=task, steps=steps))
    usual = inspect.signature(LEARNERS[algorithm].library.__init__).parameters
    told = {
        name: value for name, value in preset.arguments.items() if name not in usual or usual[name].default != value
    }
    said = repr((preset.copies, preset.scaled, sorted(told.items()), load["evaluation"], *layers))
    return f"{algorithm}.{task}.{steps}.{seed}.{hashlib.sha256(_plain(said)).hexdigest()[:8]}"


def one(algorithm: str, task: str, what: dict[str, Any], load: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one seed as a pod does."""
    from belay_api.training import TrainingConfig  # noqa: PLC0415
    from belay_trainer.config import Run  # noqa: PLC0415
    from belay_trainer.session import train_and_publish  # noqa: PLC0415
    from belay_trainer.stop import Stop  # noqa: PLC0415

    steps = what["steps"]
    spec = {
        "environment": {"id": task, "wrappers": what.get("wrappers", [])},
        "algorithm": {algorithm: {}},
        "budget": {"steps": steps},
        "seeds": {"count": load["seeds"]},
        "evaluation": {"every": max(1, steps // LOOKS), **load["evaluation"]},
        "checkpoint": {"every": steps},
        "storage": {"pvc": {"claim": "bench"}},
    }
    config = {"namespace": "bench", "job": algorithm, "uid": "bench", "attempt": 1, "configHash": "0", "spec": spec}
    run = Run(TrainingConfig.model_validate(config), index=seed, seed=seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = train_and_publish(run, work_dir=folder, pvc_dir=folder, initial_dir=folder, logbook=None, stop=Stop())
    return {
        "return": report.return_,
        "selection": report.selection_return,
        "random": report.random.mean if report.random else None,
        "preset": report.preset,
        "steps_per_second": report.steps_per_second,
    }


def of(algorithm: str, task: str, load: dict[str, Any], known: dict[str, Any], figure: str = "return") -> list[float]:
    """Return a figure of every seed that is known."""
    what = load["runs"][algorithm][task]
    names = [key(algorithm, task, what, load, seed) for seed in range(load["seeds"])]
    return [known[name][figure] for name in names if name in known]


def table(wanted: list[tuple[str, str, dict[str, Any]]], load: dict[str, Any], known: dict[str, Any]) -> str:
    """Return a line per training: mean and standard deviation over seeds, the zoo's, what chose, random actions."""
    lines = [f"{'':32} {'steps':>9} {'seeds':>5} {'return':>16} {'zoo':>8} {'chosen by':>9} {'random':>8} {'worst':>8}"]
    for algorithm, task, what in wanted:
        returns = of(algorithm, task, load, known)
        if not returns:
            continue
        mean, spread = statistics.mean(returns), statistics.stdev(returns) if len(returns) > 1 else 0.0
        chosen = statistics.mean(of(algorithm, task, load, known, "selection"))
        random = statistics.mean(of(algorithm, task, load, known, "random"))
        zoo = f"{what['zoo']:.1f}" if "zoo" in what else "none"
        lines.append(
            f"{algorithm + ' ' + task:32} {what['steps']:9} {len(returns):5} {mean:9.1f} ±{spread:5.1f} "
            f"{zoo:>8} {chosen:9.1f} {random:8.1f} {min(returns):8.1f}"
        )
    return "\n".join(lines)


def _plain(said: str) -> bytes:
    """Leave out addresses of objects, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", said).encode()


if __name__ == "__main__":
    sys.exit(main())
