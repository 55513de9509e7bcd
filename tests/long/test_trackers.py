"""Curves in the stores of MLflow and W&B themselves, by their own clients: `make trackers` installs them.

A seed is killed and resumes from a checkpoint behind what it had told: its run has every point, and none twice.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "belay"
PYTHON = CACHE / "trackers" / "bin" / "python"
RUN = {"id": "uid-0", "name": "cartpole-seed-0", "group": "cartpole", "config": {"algorithm": {"ppo": {"gamma": 0.9}}}}
ENV = os.environ | {"PYTHONPATH": str(ROOT / "trainer_image"), "WANDB_SILENT": "true"}
READ_MLFLOW = """
import json, sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
runs = [run for one in client.search_experiments() for run in client.search_runs([one.experiment_id])]
print(json.dumps([{
    "experiment": client.get_experiment(run.info.experiment_id).name, "name": run.info.run_name,
    "status": run.info.status, "params": run.data.params,
    "points": {m: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, m)] for m in run.data.metrics},
} for run in runs]))
"""
READ_WANDB = """
import json, struct, sys
from pathlib import Path
from wandb.proto import wandb_internal_pb2

def records(content):  # a log as LevelDB has it: blocks of 32 KiB, each part with checksum (4), length (2) and type (1)
    at, whole = 7, b""  # behind the file's own header
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        size, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part of one
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""

points, ids = [], set()
for path in sorted(Path(sys.argv[1]).glob("wandb/offline-run-*/*.wandb")):
    for record in records(path.read_bytes()):
        if record.WhichOneof("record_type") == "run":
            ids.add(record.run.run_id)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            step = items.get("_step", record.history.step.num)
            points.append([step, {name: value for name, value in items.items() if not name.startswith("_")}])
print(json.dumps({"ids": sorted(ids), "points": points}))
"""


REFUSES = """
import json
from mlflow.exceptions import RestException
from belay_trainer.trackers.mlflow import MLflow
client = MLflow({"settings": {}, "run": {}})
codes = "REQUEST_LIMIT_EXCEEDED", "TEMPORARILY_UNAVAILABLE", "PERMISSION_DENIED", "INVALID_PARAMETER_VALUE"
print(json.dumps({code: client.refuses(RestException({"error_code": code, "message": ""})) for code in codes}))
"""


def life(opening: dict[str, Any], steps: range, *, killed_once: Callable[[], bool] | None = None) -> None:
    """Feed one life of a seed, which ends by itself, or is killed once something is so."""
    child = subprocess.Popen([str(PYTHON), "-m", "belay_trainer.trackers.child"], stdin=subprocess.PIPE, env=ENV)
    assert child.stdin is not None
    lines = [opening | {"step": steps.start - 1}]
    for step in steps:
        lines.append({"step": step, "metrics": {"loss": step / 2}})
        if step % 10 == 0:
            lines.append({"step": step, "metrics": {"return": float(step)}})
    child.stdin.write("".join(json.dumps(line) + "\n" for line in lines).encode())
    child.stdin.flush()
    if killed_once is not None:
        until = time.monotonic() + 240
        while not killed_once():
            assert time.monotonic() < until, "not within 240 s"
            time.sleep(0.2)
        child.send_signal(signal.SIGKILL)
        child.wait()
        return
    child.stdin.close()
    assert child.wait(240) == 0


def read(script: str, argument: str) -> Any:
    found = subprocess.run([str(PYTHON), "-c", script, argument], env=ENV, check=True, capture_output=True, text=True)
    return json.loads(found.stdout.splitlines()[-1])


def _newest(database: Path) -> int | None:
    """Return the newest timestep that MLflow has; None: it has none yet."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
            step: int | None = opened.execute("SELECT max(step) FROM metrics WHERE key = 'return'").fetchone()[0]
            return step
    except sqlite3.OperationalError:  # there is no file, or no table, or it is being written
        return None


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    assert PYTHON.exists(), "the clients are not installed: run `make trackers`"


def test_mlflow_has_one_run_and_each_point_once(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    opening = {"kind": "mlflow", "settings": {"uri": uri}, "run": RUN, "folder": str(tmp_path)}
    life(opening, range(1, 31), killed_once=lambda: _newest(tmp_path / "mlflow.db") == 30)
    life(opening, range(21, 51))
    [run] = read(READ_MLFLOW, uri)
    assert (run["experiment"], run["name"], run["status"]) == ("cartpole", "cartpole-seed-0", "FINISHED")
    assert run["params"] == {"algorithm.ppo.gamma": "0.9"}
    assert run["points"]["loss"] == [[step, step / 2] for step in range(1, 51)]
    assert run["points"]["return"] == [[step, float(step)] for step in range(10, 51, 10)]


def test_seeds_have_runs_of_their_own_in_one_experiment(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for seed in range(2):
        run = RUN | {"id": f"uid-{seed}", "name": f"cartpole-seed-{seed}"}
        life(
            {"kind": "mlflow", "settings": {"uri": uri, "experiment": "mine"}, "run": run, "folder": "."}, range(1, 11)
        )
    runs = read(READ_MLFLOW, uri)
    assert {(run["experiment"], run["name"]) for run in runs} == {
        ("mine", "cartpole-seed-0"),
        ("mine", "cartpole-seed-1"),
    }


def test_wandb_offline_has_one_run_and_each_point_once(tmp_path: Path) -> None:
    settings = {"project": "belay", "mode": "offline"}
    opening = {"kind": "wandb", "settings": settings, "run": RUN, "folder": str(tmp_path)}
    life(opening, range(1, 31))
    life(opening, range(21, 51))
    found = read(READ_WANDB, str(tmp_path))
    assert found["ids"] == ["uid-0"]
    assert [step for step, _ in found["points"]] == list(range(1, 51))
    assert dict(map(tuple, found["points"]))[30] == {"loss": 15.0, "return": 30.0}


def test_a_seed_killed_in_an_evaluation_tells_what_it_returned(tmp_path: Path) -> None:
    """Whose row the client had not sent yet: one of a timestep goes out when the next one begins."""
    opening = {
        "kind": "wandb",
        "settings": {"project": "belay", "mode": "offline"},
        "run": RUN,
        "folder": str(tmp_path),
    }
    told = tmp_path / "told"
    life(opening, range(1, 31), killed_once=lambda: told.exists() and told.read_text() == "29")
    life(opening, range(21, 51))
    points = dict(map(tuple, read(READ_WANDB, str(tmp_path))["points"]))
    assert points[30] == {"loss": 15.0, "return": 30.0}
    assert [step for step in range(30, 51) if step not in points] == []


def test_a_server_with_too_many_requests_is_asked_again() -> None:
    assert read(REFUSES, "") == {
        "REQUEST_LIMIT_EXCEEDED": False,
        "TEMPORARILY_UNAVAILABLE": False,
        "PERMISSION_DENIED": True,
        "INVALID_PARAMETER_VALUE": True,
    }


def test_a_server_that_is_down_is_said_once(tmp_path: Path) -> None:
    opening = {"kind": "mlflow", "settings": {"uri": "http://127.0.0.1:9"}, "run": RUN, "folder": str(tmp_path)}
    env = ENV | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with subprocess.Popen(
        [str(PYTHON), "-m", "belay_trainer.trackers.child"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write((json.dumps(opening) + "\n").encode())
        child.stdin.flush()
        said = [next(line for line in child.stderr if line.startswith(b"tracking.")).decode()]
        time.sleep(5)  # it asks again after two seconds
        child.kill()
        said += [line.decode() for line in child.stderr if line.startswith(b"tracking.")]
    assert len(said) == 1
    assert said[0].startswith(
        "tracking.mlflow does not answer, training goes on and it is asked again: MlflowException"
    )
