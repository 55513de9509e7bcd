"""The life of a pod that judges a policy: a real artifact from a real logbook or a claim, a question, its last word."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from dataset_files import dataset_columns, parquet
from linear_policies import TWO, artifact
from test_evaluate_offline import EPISODES, TARGET, sides, worth
from trainer_configs import NAMESPACE
from trainer_support import ENVIRONMENT, LogbookServer, until

from belay_api.artifact import MANIFEST, file_sha256, verify
from belay_api.gates import LONGEST, MOST_GATES, GateOutcome
from belay_api.judging import Between, ComparedResult, Estimator, Reports, ValidationResult
from belay_api.judging_job import JudgingReport
from belay_api.reasons import Verdict
from belay_trainer.__main__ import main
from belay_trainer.judging.report import encode
from belay_trainer.logbook import connect
from belay_trainer.ope import ESTIMATORS
from belay_trainer.store.logbook import LogbookStore

SIDES = {"environment": {"id": "tasks:Sides-v0"}}
UID = "99999999-2222-3333-4444-555555555555"


@pytest.fixture(autouse=True)
def _nobody_ends_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod's watch over what stands still would outlive the test here; the pod that is a process has it."""
    monkeypatch.setattr("belay_trainer.commands.judge.stall.watch", lambda *_, **__: None)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that nobody says of where it acts, as an imported one; it is always right."""
    folder = tmp_path_factory.mktemp("right") / "policy"
    weights = [[0.0, 0.0], [TARGET, 0.0]]
    return artifact(folder, weights, output="logits", action=TWO, environment=None, returns=(0.0, 10.0))


def published(policy: Path, logbook: LogbookServer, tmp_path: Path) -> str:
    """Bring an artifact to the store, and return where it lies."""
    store = LogbookStore(connect(logbook.url, tmp_path / "no-token"), namespace=NAMESPACE, seed="x")
    return store.publish(policy, verify(policy, wanted=digest_of(policy)))


def digest_of(policy: Path) -> str:
    return "sha256:" + file_sha256(policy / MANIFEST)


def config(policy: Path, uri: str, **asked: Any) -> dict[str, Any]:
    named = {"artifact": {"uri": uri, "digest": digest_of(policy)}, "policy": "right", "question": "0123456789abcdef"}
    return {"namespace": NAMESPACE, "uid": UID, **named, **asked}


def flags(tmp_path: Path, said: dict[str, Any], *more: str) -> list[str]:
    job = tmp_path / "job.json"
    job.write_text(json.dumps(said))
    places = {"job-file": job, "work-dir": tmp_path / "work", "termination-log": tmp_path / "last-word"}
    places |= {"against-dir": tmp_path / "beside"}
    places |= {"artifact-dir": tmp_path / "claim", "token-file": tmp_path / "none", "key-file": tmp_path / "none"}
    (tmp_path / "work").mkdir(exist_ok=True)
    return ["judge", *(f"--{name}={value}" for name, value in places.items()), *more]


def judge(tmp_path: Path, said: dict[str, Any], *more: str) -> tuple[int, JudgingReport]:
    code = main(flags(tmp_path, said, *more))
    return code, JudgingReport.model_validate_json((tmp_path / "last-word").read_bytes())


def read(logbook: LogbookServer, uri: str) -> bytes:
    name = uri.removeprefix("store://sha256/")
    return httpx.get(f"{logbook.url}/v1/namespaces/{NAMESPACE}/blobs/{name}", trust_env=False).content


def test_a_policy_from_the_store_is_validated_and_its_report_can_be_read_there(
    policy: Path, logbook: LogbookServer, tmp_path: Path
) -> None:
    gates = [{"performance": {"minReturn": 9}}, {"latency": {"p99": "1s"}}]
    said = config(policy, published(policy, logbook, tmp_path), validation={**SIDES, "gates": gates})
    code, report = judge(tmp_path, said, f"--logbook-url={logbook.url}")
    found = report.validation
    assert (code, report.outcome) == (0, "Judged")
    assert found is not None
    assert found.reports is not None
    assert (found.verdict, found.digest, found.question) == (Verdict.PASS, digest_of(policy), "0123456789abcdef")
    assert [(one.gate, one.verdict) for one in found.gates] == [("performance", "Pass"), ("latency", "Pass")]
    assert found.gates[0].limit == 9
    facts = json.loads(read(logbook, found.reports.json_))
    assert (facts["passed"], facts["policy"]["digest"]) == (True, digest_of(policy))
    page = read(logbook, found.reports.html).decode()
    assert "<h2>Performance: passed</h2>" in page
    assert "data:image/png;base64," in page, "the picture is inside"
    text = read(logbook, found.reports.markdown).decode()
    assert text.startswith("# Validation of")
    assert "returns.png" not in text, "it would lead nowhere"


def test_a_policy_on_a_claim_that_fails_says_so_and_the_job_is_done(policy: Path, tmp_path: Path) -> None:
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim" / "p").symlink_to(policy)
    said = config(policy, "pvc://policies/p", validation={**SIDES, "gates": [{"performance": {"minReturn": 11}}]})
    code, report = judge(tmp_path, said)
    assert code == 0, "it was judged: a verdict is no failure of the Job"
    assert report.validation is not None
    assert report.validation.verdict is Verdict.FAIL
    assert report.validation.gates[0].measured == pytest.approx(10, abs=1)
    assert report.validation.reports is None, "without a logbook the report lies nowhere"


def beside(policy: Path, **more: Any) -> dict[str, Any]:
    """Another policy on a claim of its own."""
    named = {"uri": "pvc://others/q", "digest": digest_of(policy)}
    return {"policy": "before", "artifact": named, "episodes": 100, "confidence": 0.95, **more}


def on_claims(tmp_path: Path, policy: Path) -> None:
    for claim, name in (("claim", "p"), ("beside", "q")):
        (tmp_path / claim).mkdir()
        (tmp_path / claim / name).symlink_to(policy)


def test_a_policy_is_played_beside_another_one(policy: Path, logbook: LogbookServer, tmp_path: Path) -> None:
    on_claims(tmp_path, policy)
    gates = [{"performance": {"minReturn": 9}}]
    asked = {"validation": {**SIDES, "gates": gates}, "against": beside(policy, maxRegression="10%")}
    code, report = judge(tmp_path, config(policy, "pvc://c/p", **asked), f"--logbook-url={logbook.url}")
    found = report.validation
    assert code == 0, report
    assert found is not None
    assert found.compared is not None
    assert found.reports is not None
    assert (found.verdict, found.compared.verdict, found.compared.policy) == (Verdict.PASS, Verdict.PASS, "before")
    assert found.compared.difference is not None
    assert found.compared.difference.value == 0, "it is the same policy"
    assert "<h2>Against before: passed</h2>" in read(logbook, found.reports.html).decode()
    facts = json.loads(read(logbook, found.reports.json_))
    assert facts["compared"]["returns"]["before"] == [10.0] * found.compared.episodes


def test_gates_compare_with_the_policy_that_was_pinned(policy: Path, tmp_path: Path) -> None:
    on_claims(tmp_path, policy)
    asked = {"validation": {**SIDES, "gates": [{"performance": {"betterThan": "before"}}]}}
    code, report = judge(tmp_path, config(policy, "pvc://c/p", **asked))
    assert (code, report.outcome) == (3, "BadConfiguration"), "a step of a rollout may take gates from its policy"
    assert "RLPolicy before is not at hand here" in report.message

    weak = artifact(tmp_path / "weak", [[TARGET, 0.0], [0.0, 0.0]], output="logits", action=TWO, environment=None)
    pinned = {"policy": "before", "uri": "pvc://c/weak", "digest": digest_of(weak)}
    found = config(policy, "pvc://c/p", baseline=pinned, **asked)
    code, report = judge(tmp_path, found, f"--baseline-dir={tmp_path}")
    assert report.validation is not None, report
    [gate] = report.validation.gates
    assert (code, gate.verdict, gate.measured) == (0, Verdict.PASS, 10.0)


def test_without_gates_it_is_held_to_the_comparison_or_refused(policy: Path, tmp_path: Path) -> None:
    on_claims(tmp_path, policy)
    code, report = judge(tmp_path, config(policy, "pvc://c/p", validation=SIDES, against=beside(policy)))
    assert (code, report.outcome) == (3, "BadConfiguration")
    assert "write gates there" in report.message
    held = {"validation": SIDES, "against": beside(policy, maxRegression="10%")}
    code, report = judge(tmp_path, config(policy, "pvc://c/p", **held))
    assert report.validation is not None, report
    assert (code, report.validation.verdict, report.validation.gates) == (0, Verdict.PASS, [])
    code, report = judge(tmp_path, config(policy, "pvc://c/p", validation=SIDES, spared=True))
    assert report.validation is not None, "the first version of a rollout is spared the comparison"
    assert (report.validation.verdict, report.validation.compared) == (Verdict.PASS, None)


def test_another_byte_of_the_other_policy_is_never_played(policy: Path, tmp_path: Path) -> None:
    on_claims(tmp_path, policy)
    (tmp_path / "beside" / "q").unlink()
    (tmp_path / "beside" / "q").mkdir()
    for path in policy.iterdir():
        changed = b"!" if path.name == "policy.onnx" else b""
        (tmp_path / "beside" / "q" / path.name).write_bytes(path.read_bytes() + changed)
    asked = {"validation": {**SIDES, "gates": [{"performance": {"minReturn": 1}}]}, "against": beside(policy)}
    code, report = judge(tmp_path, config(policy, "pvc://c/p", **asked))
    assert (code, report.outcome) == (3, "BadConfiguration")
    assert "RLPolicy before: policy.onnx has digest" in report.message


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such environment": (
        {"validation": {"environment": {"id": "CartPole-v9"}, "gates": [{"performance": {"minReturn": 1}}]}},
        "CartPole",
    ),
    "another space": (
        {"validation": {"environment": {"id": "CartPole-v1"}, "gates": [{"performance": {"minReturn": 1}}]}},
        "the policy is for",
    ),
    "nobody says where": ({"validation": {"gates": [{"performance": {"minReturn": 1}}]}}, "names no environment"),
    "no such log": ({"offlineEvaluation": {"dataset": {"path": "/data/logs/none.parquet"}}}, "/data/logs/none.parquet"),
    "nothing": ({}, "asks not exactly one thing"),
    "a field of another version": ({"validation": {"gate": []}}, "must be of one version"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_asked_is_refused_in_one_sentence(case: str, policy: Path, tmp_path: Path) -> None:
    asked, words = REFUSED[case]
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim" / "p").symlink_to(policy)
    code, report = judge(tmp_path, config(policy, "pvc://policies/p", **asked))
    assert (code, report.outcome) == (3, "BadConfiguration")
    assert words in report.message


def test_another_byte_is_never_played(policy: Path, logbook: LogbookServer, tmp_path: Path) -> None:
    (tmp_path / "claim" / "p").mkdir(parents=True)
    for path in policy.iterdir():
        changed = b"!" if path.name == "policy.onnx" else b""
        (tmp_path / "claim" / "p" / path.name).write_bytes(path.read_bytes() + changed)
    said = {**SIDES, "gates": [{"performance": {"minReturn": 1}}]}
    code, report = judge(tmp_path, config(policy, "pvc://policies/p", validation=said))
    assert (code, report.outcome) == (3, "BadConfiguration")
    assert "policy.onnx has digest" in report.message
    code, report = judge(
        tmp_path, config(policy, f"store://sha256/{'0' * 64}", validation=said), f"--logbook-url={logbook.url}"
    )
    assert code == 3
    assert "is not where it should be" in report.message


def test_a_log_is_asked_and_the_answer_holds_the_true_return(
    policy: Path, logbook: LogbookServer, tmp_path: Path
) -> None:
    log = parquet(tmp_path / "log.parquet", dataset_columns(sides(1)))
    asked = {"dataset": {"path": str(log)}, "actions": "sampled", "maxRegression": "5%", "minEffectiveSamples": 200}
    asked["runtime"] = {"threads": 2}
    said = config(policy, published(policy, logbook, tmp_path), offlineEvaluation=asked)
    code, report = judge(tmp_path, said, f"--logbook-url={logbook.url}")
    found = report.offline_evaluation
    assert (code, report.outcome) == (0, "Judged")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)  # of all that is tested after this
    assert found is not None
    assert found.return_ is not None
    assert found.reports is not None
    assert found.return_.low < worth(TARGET) < found.return_.high
    assert (found.judged, found.verdict, found.episodes) == (True, Verdict.PASS, EPISODES)
    assert found.margin is not None
    assert found.margin.value == pytest.approx(found.return_.value - 0.95 * found.logged.value, abs=1e-9)
    assert found.dataset == f"sha256:{file_sha256(log)}"
    facts = json.loads(read(logbook, found.reports.json_))
    assert facts["verdict"] == "Pass"
    assert "data:image/png;base64," in read(logbook, found.reports.html).decode()

    asked["minEffectiveSamples"] = EPISODES
    code, report = judge(tmp_path, config(policy, said["artifact"]["uri"], offlineEvaluation=asked),
                         f"--logbook-url={logbook.url}")  # fmt: skip
    assert code == 0, "that the log cannot tell is an answer"
    assert report.offline_evaluation is not None
    assert (report.offline_evaluation.judged, report.offline_evaluation.verdict) == (False, None)
    assert "wanted 1000 at least" in str(report.offline_evaluation.reason)


def test_a_pod_that_is_asked_to_go_says_so(policy: Path, tmp_path: Path) -> None:
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim" / "p").symlink_to(policy)
    long = {"environment": {"id": "tasks:Sides-v0"}, "gates": [{"robustness": {"noise": [1], "maxDrop": "1%",
            "episodes": 2500}}] * 16}  # fmt: skip
    command = [sys.executable, "-m", "belay_trainer", *flags(tmp_path, config(policy, "pvc://c/p", validation=long))]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log, env=ENVIRONMENT)
    until(lambda: "runs 16 gates" in (tmp_path / "log").read_text(), 300)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 143
    assert JudgingReport.model_validate_json((tmp_path / "last-word").read_bytes()).outcome == "Interrupted"


def test_the_longest_report_fits_and_keeps_the_words_of_what_was_missed() -> None:
    word = "ä" * LONGEST
    gates = [
        GateOutcome(gate=f"dynamics[{n}]", verdict="Fail" if n == 7 else "Pass", measured=1.5, limit=2.5, message=word)
        for n in range(MOST_GATES)
    ]
    address = "store://sha256/" + "0" * 64
    result = ValidationResult(
        digest="sha256:" + "0" * 64,
        question="0" * 16,
        reports=Reports(html=address, json_=address, markdown=address),
        verdict="Fail",
        environment="x" * 253,
        gates=gates,
        compared=ComparedResult(
            policy="x" * 63,
            digest="sha256:" + "0" * 64,
            episodes=10_000,
            difference=Between(value=-1.2345678901234567, low=-1.2345678901234567, high=1.2345678901234567),
            other=-1.2345678901234567,
            verdict="Fail",
            message=word,
        ),
    )
    content = encode(JudgingReport(outcome="Judged", validation=result))
    assert len(content) <= 4096
    read = JudgingReport.model_validate_json(content).validation
    assert read is not None
    assert [one.verdict for one in read.gates] == [one.verdict for one in gates]
    assert len(read.gates[7].message) > 100
    assert len(encode(JudgingReport(outcome="Error", message="ä" * 2048))) <= 4096


def test_every_estimator_can_be_named() -> None:
    assert [one.value for one in Estimator] == list(ESTIMATORS)
