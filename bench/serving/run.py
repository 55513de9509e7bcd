"""How much faster Belay's serving container answers than stock TorchServe, on the same machine at the same time.

    make bench-serving

Runs inside the handler's test image, where TorchServe is; started elsewhere it enters that image by itself. wrk makes
the load on one of the same cores, so both sides get less than the machine has: it costs the fast side more, and the
ratio is a lower bound. Does not show: TLS, a gateway, larger networks, more than one pod.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
IMAGE = "belay-handler-test"
FIRST_PORT = 18500  # each side takes ten from here


def main() -> int:
    """Measure, print, hold against the bands."""
    options = _options()
    if find_spec("ts") is None:
        return _inside_image(sys.argv[1:])
    sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "api"), str(ROOT / "handlers"), str(HERE)]
    from ranges import check  # noqa: PLC0415  found only now

    load = yaml.safe_load((HERE / "load.yaml").read_text())
    rounds = 1 if options.quick else load["rounds"]
    figures = measure(load, rounds=rounds)
    measured = summary(figures)
    results = {"load": load, "rounds": figures, "measured": measured}
    (HERE / "results.json").write_text(json.dumps(results, indent=1))
    print(table(figures))
    return check(HERE / "ranges.yaml", measured)


def measure(load: dict[str, Any], *, rounds: int) -> list[dict[str, dict[str, float]]]:
    """Return per round and side what the table shows; `load` is the share of wrk's one thread that was busy."""
    import sides  # noqa: PLC0415  needs what only the image has

    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        digest = sides.write_artifact(folder / "artifact", load["network"])
        running = []
        for place, (name, how) in enumerate(load["sides"].items()):
            port = FIRST_PORT + 2000 * place
            if name == "stock":
                side = sides.stock(folder / name, port)
            else:
                side = sides.tuned(name, folder / name, port, digest=digest, batch=how["batch"])
            running.append(stack.enter_context(side))
        script = folder / "post.lua"
        script.write_text(_lua(load["request"]))
        for side in running:
            _wrk(side.url, script, clients=load["clients"], seconds=load["warm_up_s"])
        found = []
        for _ in range(rounds):
            one = {}
            for side in running:
                before = side.cpu_s()
                answer = _wrk(side.url, script, clients=load["clients"], seconds=load["seconds"])
                cpu_us = (side.cpu_s() - before) / max(answer.pop("requests"), 1) * 1e6
                one[side.name] = answer | {"cpu_us": cpu_us, "per_cpu_s": 1e6 / cpu_us}
            found.append(one)
        return found


def summary(figures: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    """Return the medians over rounds of the ratios within a round, and the errors of all."""

    def ratio(side: str, figure: str, *, inverse: bool = False) -> float:
        pairs = [(one[side][figure], one["stock"][figure]) for one in figures]
        return statistics.median(stock / ours if inverse else ours / stock for ours, stock in pairs)

    measured = {
        "errors": sum(one[side]["errors"] for one in figures for side in one if side != "stock"),
        "load": max(one[side]["load"] for one in figures for side in one),
    }
    for side in [name for name in figures[0] if name != "stock"]:
        measured |= {
            f"{side}.throughput_ratio": ratio(side, "per_s"),
            f"{side}.p50_ratio": ratio(side, "p50_ms", inverse=True),
            f"{side}.cpu_ratio": ratio(side, "cpu_us", inverse=True),
        }
    return measured


def table(figures: list[dict[str, dict[str, float]]]) -> str:
    """Return the median figures of each side as lines."""
    lines = [
        f"{'side':10} {'req/s':>9} {'p50 ms':>8} {'p99 ms':>8} "
        f"{'CPU us/req':>11} {'req/CPU s':>10} {'load':>6} {'errors':>7}"
    ]
    for side in figures[0]:
        middle = {key: statistics.median(one[side][key] for one in figures) for key in figures[0][side]}
        lines.append(
            f"{side:10} {middle['per_s']:9.0f} {middle['p50_ms']:8.2f} {middle['p99_ms']:8.2f} "
            f"{middle['cpu_us']:11.0f} {middle['per_cpu_s']:10.0f} {middle['load']:6.0%} {middle['errors']:7.0f}"
        )
    return "\n".join(lines)


def _wrk(url: str, script: Path, *, clients: int, seconds: int) -> dict[str, float]:
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "5s", "-s", str(script), url]
    before = _children_s()
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    busy_s = _children_s() - before
    match = re.search(r"^RESULT (\S+) (\S+) (\S+) (\S+) (\S+)$", text, re.MULTILINE)
    if match is None:
        raise SystemExit(f"wrk said nothing we can read:\n{text}")
    requests, duration_us, p50_us, p99_us, errors = map(float, match.groups())
    return {
        "requests": requests,
        "per_s": requests / duration_us * 1e6,
        "p50_ms": p50_us / 1000,
        "p99_ms": p99_us / 1000,
        "errors": errors,
        "load": busy_s / (duration_us / 1e6),
    }


def _children_s() -> float:
    """Return the CPU seconds of ended children; the servers have not ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _lua(request: dict[str, Any]) -> str:
    return f"""
wrk.method = "POST"
wrk.body = [[{json.dumps(request)}]]
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency, requests)
  local e = summary.errors
  print(string.format("RESULT %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def _inside_image(arguments: list[str]) -> int:
    command = [
        sys.executable,
        "-m",
        "belay_cluster",
        "image-run",
        IMAGE,
        "--mount",
        f"{ROOT}:/src",
        "--workdir",
        "/src",
    ]
    command += ["--", "python3", "bench/serving/run.py", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "dev" / "cluster")}
    return subprocess.run(command, check=False, env=environment).returncode


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Belay's serving container against stock TorchServe")
    parser.add_argument("--quick", action="store_true", help="one round only: a smoke test, no figure to quote")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
