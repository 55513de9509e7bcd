"""Trackers of other makers: a training never waits for one, and what a client is told it is told once, in order."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from trainer_configs import make_config

from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration
from belay_trainer.trackers import child
from belay_trainer.trackers.chosen import chosen, identity_of
from belay_trainer.trackers.remote import Remote

OPENING = {"kind": "mlflow"}
COPIES = "import sys; open(sys.argv[1], 'w').writelines(sys.stdin)"
HANGS = "import time; time.sleep(60)"


def remote(script: str, *arguments: str, **limits: Any) -> Remote:
    return Remote(OPENING, command=[sys.executable, "-c", script, *arguments], **limits)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of trackers: threads of other tests may warn as well."""
    return [one.message for one in caplog.records if one.name.startswith("belay_trainer.trackers")]


def test_a_child_is_told_everything_in_order_and_ends(tmp_path: Path) -> None:
    tracker = remote(COPIES, str(tmp_path / "told"))
    tracker.begin(100)
    for step in range(101, 400):
        tracker.record(step, {"return": float(step)})
    tracker.close(10.0)
    first, *rows = map(json.loads, (tmp_path / "told").read_text().splitlines())
    assert first == OPENING | {"step": 100}
    assert [row["step"] for row in rows] == list(range(101, 400))
    assert rows[0]["metrics"] == {"return": 101.0}


def test_a_child_that_hangs_costs_a_moment_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    tracker = remote(HANGS, kept=50)
    tracker.begin(0)
    began = time.monotonic()
    for step in range(5_000):  # more than a pipe and the queue hold
        tracker.record(step, {"return": 1.0, "length": 2.0, "loss": 3.0})
    assert time.monotonic() - began < 1.0
    began = time.monotonic()
    tracker.close(0.3)
    assert time.monotonic() - began < 2.0
    [said] = warned(caplog)
    assert said == "tracking.mlflow does not take rows in time: the oldest are dropped, training goes on"


def test_a_child_that_died_is_said_once_and_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tracker = remote("")
    tracker.begin(0)
    deadline = time.monotonic() + 20
    while not warned(caplog) and time.monotonic() < deadline:
        tracker.record(1, {"return": 1.0})
        time.sleep(0.01)
    tracker.close(10.0)
    assert warned(caplog) == ["tracking.mlflow has ended: no more curves go there, training goes on"]


DESCRIPTION = -1  # as a row that is refused


class No(Exception):
    """What another try would hear again."""


class Flaky:
    """A client that is away at some calls, and says no to others."""

    def __init__(self, away: set[int], refused: set[int]) -> None:
        self.away, self.refused, self.calls, self.told = away, refused, 0, []  # type: ignore[var-annotated]

    def open(self) -> None:
        self.call()

    def describe(self) -> None:
        if DESCRIPTION in self.refused:
            raise No("what a name!")

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        self.call()
        if step in self.refused:
            raise No("what is that?")
        self.told.append((step, dict(metrics)))

    def refuses(self, error: Exception) -> bool:
        return isinstance(error, No)

    def close(self) -> None:
        self.call()
        self.told.append("closed")

    def call(self) -> None:
        self.calls += 1
        if self.calls in self.away:
            raise ConnectionError("nobody there")


def served(client: Flaky, steps: range) -> tuple[list[str], list[float]]:
    said: list[str] = []
    waits: list[float] = []
    rows = [{"step": step, "metrics": {"return": 1.0}} for step in steps]
    child.serve(client, rows, say=said.append, sleep=waits.append)
    return said, waits


def test_what_is_not_answered_is_asked_again_ever_less_often() -> None:
    client = Flaky(away={1, 3, 4, 5}, refused=set())
    said, waits = served(client, range(3))
    assert client.told == [(0, {"return": 1.0}), (1, {"return": 1.0}), (2, {"return": 1.0}), "closed"]
    assert waits == [2.0, 2.0, 4.0, 8.0]
    assert said == [
        "tracking.flaky does not answer, training goes on and it is asked again: ConnectionError: nobody there"
    ]


def test_a_no_costs_its_row_and_is_said_once() -> None:
    client = Flaky(away=set(), refused={1, 2})
    said, waits = served(client, range(4))
    assert [row[0] for row in client.told[:-1]] == [0, 3]
    assert waits == []
    assert said == ["tracking.flaky refuses what it is told, and that is left out: No: what is that?"]


def test_a_configuration_that_is_refused_costs_no_curve() -> None:
    client = Flaky(away=set(), refused={DESCRIPTION})
    said, _ = served(client, range(3))
    assert [row[0] for row in client.told[:-1]] == [0, 1, 2]
    assert said == ["tracking.flaky refuses what it is told, and that is left out: No: what a name!"]


def run_of(**tracking: Any) -> Run:
    return Run(make_config(tracking=tracking or None), index=2, seed=2)


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_told_in_the_first_second(name: str, tmp_path: Path) -> None:
    settings = {"mlflow": {"uri": "http://127.0.0.1:1"}, "wandb": {"project": "p"}}
    with pytest.raises(BadConfiguration, match=f"tracking.{name}: there is no package {name} here.*runtime.packages"):
        chosen(run_of(**{name: settings[name]}), tmp_path)


def test_nobody_is_told_where_nobody_asked(tmp_path: Path) -> None:
    assert chosen(run_of(), tmp_path / "tracking") == []
    assert not (tmp_path / "tracking").exists()


def test_all_lives_of_a_seed_are_one_run_and_no_other_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def opening(folder: str, identity: str | None = None) -> dict[str, Any]:
        [tracker] = chosen(run_of(wandb={"project": "p"}), tmp_path / folder, identity=identity)
        assert isinstance(tracker, Remote)
        return tracker._opening

    run = run_of()
    in_a_pod = opening("a", identity_of(run))
    assert in_a_pod["run"]["id"] == f"{run.config.uid}-2"
    assert (in_a_pod["run"]["name"], in_a_pod["run"]["group"]) == ("cartpole-seed-2", "cartpole")
    assert in_a_pod["run"]["config"]["algorithm"] == {"ppo": {}}
    first, again, other = opening("b"), opening("b"), opening("c")
    assert first["run"]["id"] == again["run"]["id"] != other["run"]["id"]
