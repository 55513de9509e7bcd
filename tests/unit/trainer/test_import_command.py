"""From a file on a laptop to what a serving pod answers, through a real store; and what the command tells."""

import json
from pathlib import Path
from threading import Thread
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import yaml
from import_support import CARTPOLE, Imports, seen_in, served
from trainer_configs import NAMESPACE
from trainer_support import LogbookServer, until

from belay_api.artifact import parse_manifest, verify
from belay_api.policy import RLPolicySpec
from belay_handler.fetch import fetch
from belay_handler.stores import LogbookStore, VolumeStore
from belay_trainer import importing
from belay_trainer.__main__ import main

RULE = ("rules:steer", "--trust", "--family", "rules")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = stable_baselines3.PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=3, device="cpu")
    made.learn(64)
    made.save(tmp_path / "ppo.zip")
    return tmp_path / "ppo.zip"


def test_from_a_zip_through_the_store_to_a_served_action(
    model: Path, imports: Imports, logbook: LogbookServer, tmp_path: Path
) -> None:
    arguments = ("--trust", "--family", "cartpole", "--namespace", NAMESPACE, "--store", logbook.url)
    assert imports.run(model, *arguments) == 0, imports.told
    resource = yaml.safe_load(imports.printed)
    assert (resource["apiVersion"], resource["kind"]) == ("belay.dev/v1alpha1", "RLPolicy")
    artifact = RLPolicySpec.model_validate(resource["spec"]).artifact
    assert resource["metadata"] == {
        "name": f"cartpole-{artifact.digest[7:13]}",
        "namespace": NAMESPACE,
        "labels": {"belay.dev/family": "cartpole"},
    }

    store = LogbookStore(
        logbook.url, NAMESPACE, manifest_hex=artifact.uri.rpartition("/")[2], token_file=tmp_path / "none"
    )
    report = fetch(store, digest=artifact.digest, target=tmp_path / "pod")
    assert report.reason == "Verified"
    assert report.imported == "stable-baselines3 ppo.zip"
    assert report.absent == ["evaluation", "lineage", "outcomes"]

    manifest = parse_manifest((tmp_path / "pod" / "manifest.json").read_bytes(), wanted=artifact.digest)
    observations = seen_in(gymnasium.make("CartPole-v1"), 100)
    wanted, _ = stable_baselines3.PPO.load(model, device="cpu").predict(observations, deterministic=True)
    np.testing.assert_array_equal(served(tmp_path / "pod", manifest, observations), wanted)
    assert not (tmp_path / "pod" / "training.zip").exists(), "pickles stay out of serving pods"


def test_into_a_claim(imports: Imports, tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    claim.mkdir()
    assert imports.run(*RULE, *CARTPOLE, "--claim", "policies", "--pvc-dir", claim) == 0, imports.told
    artifact = RLPolicySpec.model_validate(yaml.safe_load(imports.printed)["spec"]).artifact
    assert artifact.uri.startswith("pvc://policies/artifacts/")
    store = VolumeStore(claim / artifact.uri.removeprefix("pvc://policies/"))
    assert fetch(store, digest=artifact.digest, target=tmp_path / "pod").reason == "Verified"


def test_a_store_that_is_away_is_told_before_anything_is_imported(imports: Imports) -> None:
    missing = ("no-such-module:rule", *RULE[1:])  # it is not even looked for
    assert imports.run(*missing, *CARTPOLE, "--store", "http://127.0.0.1:9") == 1
    assert "--store http://127.0.0.1:9: " in imports.told
    assert "ConnectError" in imports.told
    assert imports.run(*missing, *CARTPOLE, "--store", "http://127.0.0.1:9", "--token-file", "toke") == 3
    assert "--token-file toke: there is no such file" in imports.told
    assert imports.printed == ""


def test_a_store_that_goes_away_meanwhile_is_waited_for(
    imports: Imports, logbook: LogbookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = importing.read

    def read_while_it_goes(*arguments: Any, **named: Any) -> Any:
        logbook.stop()
        return read(*arguments, **named)

    monkeypatch.setattr(importing, "read", read_while_it_goes)
    back = Thread(
        target=lambda: until(lambda: "the artifact waits for the store" in imports.caplog.text, 60) and logbook.start()
    )
    back.start()
    assert imports.run(*RULE, *CARTPOLE, "--namespace", NAMESPACE, "--store", logbook.url) == 0, imports.told
    back.join()
    assert "ConnectError" in imports.told
    assert "store://sha256/" in imports.printed


def test_a_folder_appears_whole_and_can_be_verified(imports: Imports, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "deep" / "made"
    assert imports.run(*RULE, *CARTPOLE, "--out", folder) == 0, imports.told
    assert imports.printed == ""
    assert "with --uri pvc://CLAIM/PATH its RLPolicy is printed" in imports.told
    assert [path.name for path in folder.parent.iterdir()] == ["made"], "nothing is left beside it"
    digest = imports.told.split("digest ")[1].split()[0]
    assert verify(folder, wanted=digest).imported is not None

    assert main(["verify", str(folder), "--digest", digest]) == 0
    told = capsys.readouterr().out
    assert "is intact: manifest.json, policy.onnx\n" in told
    assert "rules:steer: controller; Box(4,) float32 to Discrete(2), choice\nthe artifact has no evaluation" in told

    network = folder / "policy.onnx"
    network.write_bytes(network.read_bytes()[:-1] + b"!")
    assert main(["verify", str(folder)]) == 3
    assert "policy.onnx has digest" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 3
    assert main(["verify", str(folder), "--digest", "sha256:" + "0" * 64]) == 3
    assert "manifest.json has digest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--family", "Rules"), "--family Rules"),
        (("--family", "r" * 40), "at most 39"),
        (("--namespace", "team_a"), "--namespace team_a"),
        (("--sha256", "abc"), "64 hex digits"),
        (("--episodes", "0"), "1 to 10000 are wanted"),
        (("--uri", "s3://x"), "pvc://CLAIM/PATH is wanted"),
        (("--environment", "CartPole-v1", "--environment-kwargs", "[1]"), "a JSON object is wanted"),
        (("--environment", "CartPole-v1", "--environment-kwargs", "{"), "a JSON object is wanted"),
        (
            ("--environment", "CartPole-v1", "--environment-kwargs", '{"gravity": 1}'),
            "does not take gravity: known are",
        ),
        (("--environment", "CartPole", "--environment-kwargs", '{"gravity": 1}'), "Correct environment.kwargs"),
        (("--environment", "CartPole-v1", "--environment-kwargs", '{"render_mod": 1}'), "did you mean 'render_mode'?"),
        (("--environment", "Cartpole-v1"), "Did you mean: `CartPole`?"),
    ],
)
def test_what_is_wrong_with_the_flags_is_told(
    arguments: tuple[str, ...], says: str, imports: Imports, tmp_path: Path
) -> None:
    assert imports.run(*RULE, *arguments, "--out", tmp_path / "out") == 3
    assert says in imports.told
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(imports: Imports, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("dear")
    assert imports.run(*RULE, *CARTPOLE, "--out", tmp_path / "out") == 3
    assert "not an empty folder" in imports.told
    assert (tmp_path / "out" / "mine").read_text() == "dear"


def test_an_environment_that_keeps_statistics_is_refused(imports: Imports) -> None:
    assert "running statistics" in imports.refused("rules:steer", "--trust", "--environment", "tasks:Normalised-v0")


def test_bounds_that_differ_are_given_as_in_a_manifest(imports: Imports) -> None:
    space = {"kind": "box", "shape": [1], "dtype": "float32", "low": [-1.5], "high": [None]}
    arguments = ("--observation-space", "box:2", "--action-space", json.dumps(space))
    _, manifest = imports.artifact("rules:wrapped", "--trust", *arguments)
    assert manifest.action.dump() == {"kind": "box", "shape": [1], "dtype": "float32", "low": [-1.5], "high": [None]}
