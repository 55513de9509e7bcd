"""What is learned from logs: each algorithm of Belay beside the same of d3rlpy, on the same files.

    make bench-training ARGS="offline [--only LOG[:ALGORITHM] ...] [--quick]"

A log is collected here, or is one of Minari's (`load.yaml`). Both sides make as many updates with the same settings and
seeds; the policy after the last one is played, nothing is chosen. Scores are D4RL's: 0 as random actions, 100 as the
expert. `make d3rlpy` brings d3rlpy; without it Belay's side runs alone.

Published figures of D4RL and CORL are of MuJoCo's logs: nothing here compares with them until a row of Minari's does.
Does not show: what a training pod's choice among checkpoints adds, GPUs.

Runs inside the trainer's test image, with a row of Minari's inside the one with simulators; started elsewhere it enters
it by itself.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "belay"
PACKAGES, DATASETS = Path("/d3rlpy"), Path("/minari")  # in the image
QUICK_UPDATES = 200


def main() -> int:
    """Learn, print the table, hold it against the bands."""
    parser = argparse.ArgumentParser(description="what is learned from logs, by Belay and by d3rlpy")
    parser.add_argument("--only", nargs="+", default=[], help="logs, or log:algorithm")
    parser.add_argument("--quick", action="store_true", help="one seed, few updates: a smoke test without bands")
    options = parser.parse_args()
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    wanted = {
        name: [one for one in load["tasks"][log["task"]]["algorithms"] if chosen(options.only, name, one)]
        for name, log in load["logs"].items()
    }
    if not any(wanted.values()):
        parser.error(
            f"--only: there are the logs {', '.join(wanted)}, and the algorithms {', '.join(load['algorithms'])}"
        )
    if options.quick:
        load |= {"seeds": 1, "updates": QUICK_UPDATES}
    sys.path[:0] = [str(ROOT / room) for room in ("bench", "api", "trainer_image")]
    if find_spec("stable_baselines3") is None:
        return enter(minari=any("minari" in load["logs"][name] for name, algorithms in wanted.items() if algorithms))

    rows = measure(load, {name: algorithms for name, algorithms in wanted.items() if algorithms})
    if options.quick:
        return 0
    from ranges import check  # noqa: PLC0415  found only now

    (HERE / "results.json").write_text(json.dumps({"load": load, "rows": rows}, indent=1) + "\n")
    measured = {f"belay.{row['log']}.{row['algorithm']}": row["belay"]["score"] for row in rows}
    measured |= {
        f"beside.{row['log']}.{row['algorithm']}": row["belay"]["score"] - row["d3rlpy"]["score"]
        for row in rows
        if "d3rlpy" in row
    }
    return check(HERE / "ranges.yaml", measured, among=tuple(measured))


def chosen(only: list[str], log: str, algorithm: str) -> bool:
    """Return whether a pair is asked for."""
    return not only or log in only or f"{log}:{algorithm}" in only


def enter(*, minari: bool) -> int:
    """Run in the image, with what lies on this machine."""
    from inside import IMAGE, run_inside  # noqa: PLC0415  found only now

    mounts, env = {}, {}
    if (CACHE / "d3rlpy").is_dir():
        mounts[CACHE / "d3rlpy"] = f"{PACKAGES}:ro"
    if minari:
        datasets = Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")
        mounts[datasets], env = f"{DATASETS}:ro", {"MINARI_DATASETS_PATH": str(DATASETS)}
    image = "belay-trainer-simulators" if minari else IMAGE
    return run_inside([Path(__file__).resolve(), *sys.argv[1:]], image=image, mounts=mounts, env=env)


def measure(load: dict[str, Any], wanted: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return a row for each log and algorithm, printed as they come."""
    import torch  # noqa: PLC0415  what only the image has
    from logs import made  # noqa: PLC0415
    from played import Played  # noqa: PLC0415
    from work import Work  # noqa: PLC0415

    torch.set_num_threads(1)
    sides, rows = sides_here(), []
    with tempfile.TemporaryDirectory() as folder:
        for name, algorithms in wanted.items():
            asked = load["logs"][name]
            path, log = made(name, asked, Path(folder))
            played = Played(asked["task"], load["tasks"][asked["task"]]["expert"], episodes=load["episodes"])
            behaviour = float(log.rewards.sum() / log.episodes)
            print(
                f"{name}: {log.episodes} episodes, {log.timesteps} timesteps; who was logged {behaviour:.1f} "
                f"({played.score(behaviour):.0f}), random {played.random:.1f} (0), expert {played.expert:.1f} (100)"
            )
            for algorithm in algorithms:
                row: dict[str, Any] = {"log": name, "algorithm": algorithm, "behaviour": played.score(behaviour)}
                works = [
                    Work(
                        algorithm=algorithm,
                        settings=load["settings"] | load["algorithms"][algorithm],
                        updates=load["updates"],
                        seed=seed,
                        task=asked["task"],
                        path=path,
                        log=log,
                    )
                    for seed in range(load["seeds"])
                ]
                for side, learn in sides.items():
                    found = [learned for work in works if (learned := learn(work)) is not None]
                    if found:
                        returns = [played.returns(one.policy) for one in found]
                        row[side] = {
                            "returns": returns,
                            "score": played.score(statistics.mean(returns)),
                            "ms": statistics.median(one.ms for one in found),
                        }
                rows.append(row)
                print(line(row, list(sides)), flush=True)
    return rows


def sides_here() -> dict[str, Any]:
    """Return who learns, by name: Belay, and d3rlpy where it is installed."""
    from ours import learn  # noqa: PLC0415  what only the image has
    from peer import Peer  # noqa: PLC0415

    sys.path.append(str(PACKAGES))  # last: what the image has is the image's
    try:
        return {"belay": learn, "d3rlpy": Peer().learn}
    except ImportError as error:
        print(f"d3rlpy is not here ({error}): run without it (`make d3rlpy` brings it)", file=sys.stderr)
        return {"belay": learn}


def line(row: dict[str, Any], sides: list[str]) -> str:
    """Return mean return and deviation over seeds, score, and CPU of an update, of each side."""
    parts = [f"  {row['algorithm']:6}"]
    for side in sides:
        if side not in row:
            parts.append(f"{side} has none")
            continue
        returns, score, ms = (row[side][name] for name in ("returns", "score", "ms"))
        spread = statistics.stdev(returns) if len(returns) > 1 else 0.0
        parts.append(f"{side} {statistics.mean(returns):8.1f} ±{spread:6.1f} ({score:4.0f}), {ms:5.2f} ms")
    return "   ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
