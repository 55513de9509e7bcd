"""`kubectl belay curve` with a real logbook, and what it says where there is nothing to draw."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.logbook.support import ROOT, Process

from belay_api.wire import Curve, Curves
from belay_cli.curve import render
from belay_cli.errors import Failed
from belay_cli.logbook import read_curves
from belay_cli.main import main
from belay_cli.plot import LINE

from .conftest import UID, FakeKubectl

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def test_the_curve_of_a_training(kubectl: FakeKubectl, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.set(config={"out": told})
    assert main(["curve", "cartpole", "--width", "60", "--context", "there"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("cartpole: return by timestep")
    assert "mean of 2 seeds" in lines[0]
    picture = "\n".join(lines[2:16])
    assert picture.startswith("460 ┤"), "the highest of both seeds"
    assert picture.count(LINE) == 60 - len("460 ┤"), "a mean in every column"
    assert lines[18:20] == ["seed 40: 450 at timestep 45,000", "seed 41: 460 at timestep 45,000"]
    assert lines[-1] == "Other metrics: return/episodes, return/std, train/loss"
    assert printed.err == ""
    assert kubectl.calls == [
        "--context there config view --minify -o jsonpath={..namespace}",
        f"--context there get rltrainingjobs.belay.dev cartpole --namespace {told} -o json",
        f"--context there create token default --namespace {told} --audience belay-logbook",
        "--context there port-forward --namespace belay-system service/belay-logbook --address 127.0.0.1 :8600",
    ]
    assert not kubectl.forwarding, "the port-forward has ended"


def test_another_metric_of_a_logbook_somewhere_else(
    kubectl: FakeKubectl, told: str, logbook: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["curve", "cartpole", "-n", told, "--metric", "train/loss", "--logbook", logbook.url]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("cartpole: train/loss by timestep")
    assert not any("port-forward" in call or "config" in call for call in kubectl.calls)


_SEARCHING = {
    "metadata": {"name": "cartpole", "uid": UID},
    "spec": {"search": {"trials": 20}},
    "status": {
        "phase": "Searching",
        "search": {"trials": 20, "finished": 3, "pruned": 2, "failed": 0},
        "conditions": [{"type": "Ready", "message": "Job cartpole-s1 tries 20 settings."}],
    },
}
CANNOT: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "nothing told": ({}, ["-n", "nobody"], ["told the logbook nothing yet", "Pending: no node has room"]),
    "search": ({"get": {"out": json.dumps(_SEARCHING)}}, [], ["5 of 20 trials", "Searching: Job cartpole-s1 tries"]),
    "metric": (
        {},
        ["--metric", "loss"],
        ["'loss'", "known: return, return/episodes, return/std, train/loss", "--metric"],
    ),
    "job": ({"get": {"err": 'rltrainingjobs "cartpole" not found', "code": 1}}, [], ['cartpole" not found']),
    "token": ({"create": {"err": "cannot create serviceaccounts/token", "code": 1}}, [], ["serviceaccounts/token"]),
    "forward": ({"port_forward": {"err": "services not found", "code": 1}}, [], ["services not found", "--logbook"]),
    "odd forward": ({"port_forward": {"out": "something else"}}, [], ["--system-namespace"]),
    "away": ({}, ["--logbook", "http://127.0.0.1:1"], ["http://127.0.0.1:1", "does not answer"]),
    "no address": ({}, ["--logbook", "nowhere"], ["nowhere", "does not answer"]),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_be_drawn_is_told_in_one_line(
    kubectl: FakeKubectl, told: str, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    answers, arguments, wanted = CANNOT[case]
    kubectl.set(config={"out": told}, **answers)
    assert main(["curve", "cartpole", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert all(word in printed.err for word in wanted), printed.err


def test_a_machine_without_kubectl_is_told(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["curve", "cartpole"]) == 1
    assert "kubectl cannot be run" in capsys.readouterr().err


def test_the_token_is_what_the_logbook_asks_for(
    kubectl: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An API key is known and may not read curves, so it was sent: without one the logbook says that there is none."""
    folder = tmp_path / "closed"
    folder.mkdir()
    key = {"name": "shop", "sha256": hashlib.sha256(b"t0ken").hexdigest(), "namespace": "team-a"}
    (folder / "keys.json").write_text(json.dumps([key]))
    closed = Process(folder, ["--key-file", str(folder / "keys.json")]).start()
    try:
        assert main(["curve", "cartpole", "--logbook", closed.url]) == 1
        assert "API key shop may not read curves" in capsys.readouterr().err
    finally:
        closed.stop()


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (200, "<html>", "is no logbook of this version"),
        (502, "bad gateway", r"is no logbook of this version \(HTTP 502\)"),
        (404, json.dumps({"error": {"status": 404, "message": "GET /v1: Not Found"}}), "keeps no curves"),
        (
            503,
            json.dumps({"error": {"status": 503, "message": "the API server does not answer"}}),
            "the API server does",
        ),
    ],
)
def test_who_answers_otherwise_is_told(status: int, body: str, wanted: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=body))
    with httpx.Client(transport=transport, base_url="http://there") as client, pytest.raises(Failed, match=wanted):
        read_curves(client, "ns", UID, metric="return", points=10)


def test_the_plugin_runs_by_its_name_and_where_nothing_but_ascii_is_printed(
    kubectl: FakeKubectl, told: str, logbook: Process
) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'api'}:{ROOT / 'client'}", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "belay_cli", "curve", "cartpole", "-n", told, "--logbook", logbook.url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "# mean of 2 seeds   . lowest to highest" in done.stdout


def seeds(count: int, *, last: int = 10) -> Iterator[Curve]:
    for index in range(count):
        steps = [*range(0, last - (index == 0))]
        at = [NOW - timedelta(seconds=90 + index)] * len(steps)
        yield Curve(index=index, steps=steps, at=at, values=[float(index)] * len(steps))


def test_numbers_name_each_of_few_seeds_and_the_ends_of_many() -> None:
    def lines(count: int) -> list[str]:
        found = Curves(metric="return", metrics=["return"], items=list(seeds(count)))
        return render(found, job="j", first_seed=100, columns=60, now=NOW).splitlines()[18:]

    assert lines(2) == [
        "seed 100: 0 at timestep 8",
        "seed 101: 1 at timestep 9",
        "The mean at a timestep is of the seeds that reach it; 1 of 2 have not reached 9.",
        "The newest point came 1m30s ago.",
    ]
    assert lines(20)[:3] == [
        "20 seeds, each at its newest point: mean 9.5",
        "lowest: 0 at timestep 8, seed 100",
        "highest: 19 at timestep 9, seed 119",
    ]


def test_the_guide_shows_what_is_printed() -> None:
    returns = [
        [21.4, 64.0, 171.2, 243.9, 391.5, 478.3, 500.0, 500.0, 500.0],
        [24.1, 88.7, 196.4, 352.0, 455.8, 493.1, 500.0, 487.2, 500.0],
        [19.8, 47.5, 110.3, 188.6, 301.7, 446.9, 471.4, 492.8, 497.6],
    ]
    steps, at = [*range(0, 40_001, 5000)], [NOW - timedelta(seconds=12)] * 9
    items = [Curve(index=index, steps=steps, at=at, values=values) for index, values in enumerate(returns)]
    names = [
        "bestReturn",
        "collection/return",
        "return",
        "return/episodes",
        "return/std",
        "stepsPerSecond",
        "train/loss",
    ]
    found = Curves(metric="return", metrics=names, items=items)
    printed = render(found, job="cartpole", first_seed=0, columns=72, now=NOW)
    assert (
        f"$ kubectl belay curve cartpole -n belay-demo\n{printed}\n```"
        in (ROOT / "docs" / "guides" / "operate.md").read_text()
    )
