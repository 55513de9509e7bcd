"""`belay-trainer validate` as people run it: what it prints and writes, and what each exit code is for."""

import json
from pathlib import Path

import pytest
from linear_policies import TWO, artifact

from belay_trainer.__main__ import main

SIDES = "tasks:Sides-v0"
ALL = """
gates:
- performance: {minReturn: 9, betterThan: random}
- constraints: {maxViolations: 0}
- robustness: {noise: [0.01, 0.1], maxDrop: 20%}
- worstCase: {epsilon: 0.05, maxDrop: 20%}
- edgeCases: {starts: [{name: far left, options: {start: -4.0}}], minReturn: 8}
- dynamics: {shifts: [{name: level up, kwargs: {level: 1.0}}], maxDrop: 20%}
- latency: {p99: 1s}
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("right") / "policy"
    return artifact(
        folder, [[0.0, 0.0], [2.0, 0.0]], output="logits", action=TWO, environment=SIDES, returns=(0.0, 10.0)
    )


def validate(policy: Path, gates: str, tmp_path: Path, *flags: str) -> int:
    path = tmp_path / "gates.yaml"
    path.write_text(gates)
    return main(["validate", str(policy), "--gates", str(path), *flags])


def test_every_kind_of_gate_is_run_and_reported(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert validate(policy, ALL, tmp_path, "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert "The policy passed all 7 gates." in printed
    assert "drop with noise 0.1: " in printed

    told = json.loads((out / "report.json").read_bytes())
    assert told["passed"] is True
    assert [one["gate"] for one in told["gates"]] == [
        "performance", "constraints", "robustness", "worstCase", "edgeCases", "dynamics", "latency",
    ]  # fmt: skip
    assert told["policy"]["digest"].startswith("sha256:")
    assert len(told["gates"][0]["returns"]["the policy"]) >= 100
    for measurement in (one for gate in told["gates"] for one in gate["measurements"]):
        assert measurement["verdict"] == "Pass"
        assert measurement["limit"] is not None
    proved = {one["claim"]: one["evidence"] for one in told["checklist"]}
    assert "at least" in proved["The mean return keeps a stated limit"]
    assert "better than random actions" in " ".join(proved)
    assert proved["Constraints are violated in few enough of all episodes"] is None, "a count proves no rate"
    assert proved["It was measured in episodes that chose nothing"] is None, "nobody says that others chose"
    assert proved["It can be trained on"] is None
    assert told["policy"]["digest"] in proved["Every byte is the one that was published"]
    assert {one["category"] for one in told["checklist"]} == {
        "performance", "safety", "robustness", "monitoring", "operations",
    }  # fmt: skip
    assert (out / "returns.png").read_bytes().startswith(b"\x89PNG")
    assert "![Returns" in (out / "report.md").read_text()
    assert "<h2>Worst case: passed</h2>" in (out / "report.html").read_text()


def test_a_failed_gate_and_one_that_cannot_tell_have_exit_codes_of_their_own(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate(policy, "[performance: {minReturn: 11}]", tmp_path, "--out", str(tmp_path / "out")) == 6
    checklist = json.loads((tmp_path / "out/report.json").read_bytes())["checklist"]
    assert checklist[0] == {
        "category": "performance", "claim": "The mean return keeps a stated limit", "evidence": None,
    }  # fmt: skip
    assert "did not pass 1 of 1 gates: performance (failed)" in capsys.readouterr().out
    assert validate(policy, "[performance: {minReturn: 9.9999}]", tmp_path) == 5
    assert "performance (cannot tell)" in capsys.readouterr().out
    assert validate(policy, "[performance: {minReturn: 9.9999}, latency: {p50: 0.001ms}]", tmp_path) == 6


def test_another_artifact_is_compared_with(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = artifact(
        tmp_path / "stable",
        [[2.0, 0.0], [0.0, 0.0]],
        output="logits",
        action=TWO,
        environment=SIDES,
        returns=(0.0, 10.0),
    )
    against, out = ("--against", str(wrong)), ("--out", str(tmp_path / "out"))
    assert main(["validate", str(policy), *against, *out]) == 0, "a comparison needs no gates"
    assert "Against stable, which returns 0 over 100 episodes from the same starts" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/report.json").read_bytes())["compared"]["difference"]["value"] == 10
    assert main(["validate", str(wrong), "--against", str(policy), "--max-regression", "5%"]) == 6
    assert "maxRegression 5 % is not kept" in capsys.readouterr().out
    assert validate(policy, "[performance: {betterThan: stable-1}]", tmp_path, *against) == 0
    assert "return over that of RLPolicy stable-1: 10" in capsys.readouterr().out


def test_the_environment_can_be_another(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate = "[constraints: {maxViolations: 0}]"
    assert validate(policy, gate, tmp_path, "--environment-kwargs", '{"edge": 0.0}') == 6
    assert validate(policy, "[performance: {minReturn: 99}]", tmp_path, "--environment", "tasks:Luck-v0") == 6


def test_an_environment_that_fails_is_told_with_its_place_and_its_traceback(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate(policy, "[performance: {minReturn: 1}]", tmp_path, "--environment", "tasks:Restless-v0") == 1
    told = capsys.readouterr().err
    assert told.startswith(
        "belay-trainer validate: environment.id 'tasks:Restless-v0': reset() failed in timestep 0 of the "
    )
    assert "episode of reset seed " in told
    assert ": ConnectionError: no simulator answers. Its traceback says" in told
    assert 'raise ConnectionError("no simulator answers")' in told


def test_a_place_for_the_report_that_cannot_be_is_told_before_anything_is_played(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate(policy, "[performance: {minReturn: 1}]", tmp_path, "--out", "/proc/report") == 1
    told = capsys.readouterr()
    assert told.err.startswith("belay-trainer validate: /proc/report: ")
    assert told.out == ""


REFUSED = {
    "no gates": ("[]", (), "has no list of gates"),
    "two kinds in one": ("[{latency: {p50: 1s}, performance: {minReturn: 1}}]", (), "wanted exactly one of"),
    "a misspelt kind": ("[perfomance: {minReturn: 1}]", (), "did you mean 'performance'?"),
    "a misspelt field": ("[performance: {minReturns: 1}]", (), "gates[0].performance.minReturns"),
    "no limit": ("[performance: {}]", (), "a gate without a limit passes nothing: set minReturn, betterThan"),
    "a start like any other": ("[edgeCases: {starts: [{name: x}], minReturn: 1}]", (), "set options or kwargs"),
    "no YAML": ("[", (), "cannot be read"),
    "no such environment": ("[performance: {minReturn: 1}]", ("--environment", "CartPole-v9"), "CartPole"),
    "kwargs that are no object": ("[performance: {minReturn: 1}]", ("--environment-kwargs", "3"), "wanted an object"),
    "what learns inside": (
        "[performance: {minReturn: 1}]",
        ("--environment", "tasks:Normalised-v0"),
        "running statistics",
    ),
    "an old reset": ("[performance: {minReturn: 1}]", ("--environment", "tasks:OldReset-v0"), "Gym's old API"),
    "an old step": ("[performance: {minReturn: 1}]", ("--environment", "tasks:OldStep-v0"), "Gym's old API"),
    "another space": ("[performance: {minReturn: 1}]", ("--environment", "CartPole-v1"), "the policy is for"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_sentence(
    case: str, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gates, flags, words = REFUSED[case]
    assert validate(policy, gates, tmp_path, *flags) == 3
    told = capsys.readouterr().err
    assert told.startswith("belay-trainer validate: ")
    assert words in told


def test_a_policy_that_says_nothing_of_where_it_acts_asks_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = artifact(tmp_path / "p", [[1.0, 0.0], [0.0, 0.0]], output="logits", action=TWO, environment=None)
    assert validate(folder, "[performance: {minReturn: 1}]", tmp_path) == 3
    assert "name one with --environment" in capsys.readouterr().err
    assert main(["validate", str(folder), "--environment", SIDES]) == 3
    assert "was trained without gates" in capsys.readouterr().err
