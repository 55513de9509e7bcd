"""What Belay costs a training: the same algorithm, settings, seed and budget as a direct call of Stable-Baselines3.

    make bench-training ARGS="speed [--quick]"

Belay's side does what a training pod does: checkpoints to the local disk and to a real logbook over HTTP, greedy
evaluations, heartbeats. The library does none of it by itself. Evaluations are work and not overhead, so there are two
comparisons: all of Belay's side with the library and its own `EvalCallback`, which plays as many episodes as often and
in as many copies (`belay`); and Belay's side less its evaluations with the library alone (`without_evaluation`).

Ratios are of steps per CPU second of the whole process, background threads included, because the machine may be busy
with other things; the ratios of wall time stand beside them and include waiting for the disk. Does not show: GPUs,
environments that are slow themselves (they make the overhead smaller), volumes slower than this disk.

On a busy machine two runs of the same code differ by more than the overhead. So a third figure, `kept`, is counted and
not compared: the share of CPU seconds, evaluations left out, that was the training's own and neither spent in our
callback between updates nor in our threads.

Runs inside the trainer's test image; started elsewhere it enters that image by itself.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FIGURES = ("direct", "evaluated", "belay", "without_evaluation")
BESIDE = {"belay": "evaluated", "without_evaluation": "direct"}  # which of the library's figures is the same work


def main() -> int:
    """Measure, print, hold against the bands."""
    parser = argparse.ArgumentParser(description="Belay's trainer against Stable-Baselines3 called directly")
    parser.add_argument("--quick", action="store_true", help="one round only: a smoke test, no figure to quote")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT / room) for room in ("bench", "api", "trainer_image")]
    from inside import run_inside  # noqa: PLC0415  found only now
    from ranges import check  # noqa: PLC0415

    if find_spec("stable_baselines3") is None:
        return run_inside([Path(__file__).resolve(), *sys.argv[1:]])

    load = yaml.safe_load((HERE / "load.yaml").read_text())
    with tempfile.TemporaryDirectory() as name, _logbook(Path(name)) as url:
        rounds = measure(load, rounds=1 if options.quick else load["rounds"], folder=Path(name), logbook=url)
    measured = summary(rounds)
    (HERE / "results.json").write_text(json.dumps({"load": load, "rounds": rounds, "measured": measured}, indent=1))
    print(table(rounds))
    return check(HERE / "ranges.yaml", measured)


def measure(load: dict[str, Any], *, rounds: int, folder: Path, logbook: str) -> list[dict[str, Any]]:
    """Return per round and algorithm: steps per CPU second and per second of wall time of each figure."""
    import sides  # noqa: PLC0415  needs what only the image has

    found = []
    for number in range(-1, rounds):  # round -1 warms up
        one: dict[str, Any] = {}
        for algorithm, what in load["sides"].items():
            steps = what["steps"] if number >= 0 else load["warm_up_steps"]
            run = sides.make_run(algorithm, what["environment"], steps, load, uid=f"{algorithm}-{number}")
            times = {"direct": sides.direct(run), "evaluated": sides.direct(run, evaluated=True)}
            scratch = folder / f"{algorithm}{number}"
            whole, evaluating, overhead_s = sides.belay(run, scratch, logbook)
            times |= {"belay": whole, "without_evaluation": whole - evaluating}
            one[algorithm] = {name: {"cpu": steps / t.cpu, "wall": steps / t.wall} for name, t in times.items()}
            one[algorithm]["kept"] = 1 - overhead_s / times["without_evaluation"].cpu
            print(f"{'warmed up' if number < 0 else f'round {number + 1} of {rounds}'}: {algorithm}", flush=True)
        if number >= 0:
            found.append(one)
    return found


def summary(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Return the medians over rounds of the ratios within a round."""
    ratios = {
        f"{algorithm}.{name}.{clock}_ratio": statistics.median(
            one[algorithm][name][clock] / one[algorithm][beside][clock] for one in rounds
        )
        for algorithm in rounds[0]
        for name, beside in BESIDE.items()
        for clock in ("cpu", "wall")
    }
    return ratios | {f"{name}.kept": statistics.median(one[name]["kept"] for one in rounds) for name in rounds[0]}


def table(rounds: list[dict[str, Any]]) -> str:
    """Return the median speeds as lines."""
    lines = [f"{'':26} {'steps per CPU-s':>16} {'steps/s':>9}"]
    for algorithm in rounds[0]:
        for name in FIGURES:
            cpu, wall = (statistics.median(one[algorithm][name][clock] for one in rounds) for clock in ("cpu", "wall"))
            lines.append(f"{algorithm} {name:22} {cpu:16.0f} {wall:9.0f}")
    return "\n".join(lines)


@contextmanager
def _logbook(folder: Path) -> Iterator[str]:
    (folder / "key").write_bytes(b"k" * 32)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the server would outlive us
    command = [sys.executable, "-m", "belay_logbook", "--data", str(folder / "db"), "--insecure-local"]
    command += ["--listen", address, "--receipt-key", str(folder / "key")]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'api'}:{ROOT / 'logbook'}"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)  # the trainer waits for it anyway
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
