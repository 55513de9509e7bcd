"""One digest covers every byte of an artifact: a changed byte anywhere is found."""

import hashlib
import json
from pathlib import Path

import pytest

from belay_api.artifact import (
    MANIFEST,
    ArtifactInvalid,
    DigestMismatch,
    EvaluationReport,
    Imported,
    Lineage,
    Manifest,
    file_entries,
    file_sha256,
    parse_manifest,
    verify,
    verify_served,
)
from belay_api.spaces import BoxSpace, DiscreteSpace, space_model


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[Path, str]:
    (tmp_path / "policy.onnx").write_bytes(b"network")
    (tmp_path / "policy.pt").write_bytes(b"script")
    (tmp_path / "training.zip").write_bytes(b"pickles")
    manifest = Manifest(
        algorithm="ppo",
        environment="CartPole-v1",
        observation=BoxSpace(shape=[4], dtype="float32", low=[None] * 4, high=[4.8] * 4),
        action=DiscreteSpace(n=2),
        output="logits",
        max_episode_steps=500,
        evaluation=EvaluationReport(step=10, episodes=5, first_seed=1, mean=500, std=0, min=500, max=500),
        lineage=Lineage(seed=0, step=10, config_hash="d"),
        files=file_entries(tmp_path),
    )
    (tmp_path / MANIFEST).write_bytes(manifest.canonical())
    return tmp_path, manifest.digest()


def test_an_untouched_artifact_verifies(artifact: tuple[Path, str]) -> None:
    folder, digest = artifact
    manifest = verify(folder, wanted=digest)
    assert [entry.path for entry in manifest.files] == ["policy.onnx", "policy.pt", "training.zip"]


def test_an_artifact_of_an_earlier_version_that_names_its_job_is_read(artifact: tuple[Path, str]) -> None:
    folder, _ = artifact
    said = json.loads((folder / MANIFEST).read_bytes())
    said["lineage"] |= {"namespace": "a", "trainingJob": "b", "uid": "c"}
    (folder / MANIFEST).write_text(json.dumps(said))

    assert verify(folder, wanted=f"sha256:{file_sha256(folder / MANIFEST)}").lineage.step == 10


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["policy.onnx", "policy.pt", "training.zip", MANIFEST])
def test_every_changed_byte_is_found(artifact: tuple[Path, str], name: str) -> None:
    folder, digest = artifact
    change(folder / name)
    with pytest.raises(DigestMismatch, match=f"{name} has digest .*, wanted"):
        verify(folder, wanted=digest)


@pytest.mark.parametrize("name", ["policy.onnx", "policy.pt", MANIFEST])
def test_every_changed_byte_of_what_is_served_is_found(artifact: tuple[Path, str], name: str) -> None:
    folder, digest = artifact
    change(folder / name)
    with pytest.raises(DigestMismatch, match=f"{name} has digest .*, wanted"):
        verify_served(folder, wanted=digest)


def test_serving_needs_no_file_that_only_training_loads(artifact: tuple[Path, str]) -> None:
    folder, digest = artifact
    (folder / "training.zip").unlink()

    assert [entry.path for entry in verify_served(folder, wanted=digest).served] == ["policy.onnx", "policy.pt"]
    with pytest.raises(DigestMismatch, match=r"training\.zip has digest no such file"):
        verify(folder, wanted=digest)


def test_an_artifact_of_an_earlier_version_keeps_its_digest(artifact: tuple[Path, str]) -> None:
    """`logits`, `q-values` and `mean` mean what they meant, to the byte."""
    folder, _ = artifact
    for output in ("logits", "q-values", "mean"):
        content = (folder / MANIFEST).read_bytes().replace(b'"output":"logits"', f'"output":"{output}"'.encode())
        wanted = "sha256:" + hashlib.sha256(content).hexdigest()
        found = parse_manifest(content, wanted=wanted)
        assert (found.output, found.digest()) == (output, wanted)


def test_an_output_that_nobody_knows_is_refused_by_name(artifact: tuple[Path, str]) -> None:
    folder, _ = artifact
    content = (folder / MANIFEST).read_bytes().replace(b'"output":"logits"', b'"output":"beta"')
    with pytest.raises(ArtifactInvalid, match="'logits', 'q-values', 'choice', 'mean', 'gaussian', .*'bernoulli'"):
        parse_manifest(content, wanted="sha256:" + hashlib.sha256(content).hexdigest())


def test_a_missing_file_is_found(artifact: tuple[Path, str]) -> None:
    folder, digest = artifact
    (folder / "policy.pt").unlink()
    with pytest.raises(DigestMismatch, match=r"policy\.pt has digest no such file"):
        verify(folder, wanted=digest)


def test_no_manifest_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="missing"):
        verify(tmp_path, wanted="sha256:0")


def test_a_file_name_cannot_leave_the_folder(artifact: tuple[Path, str]) -> None:
    folder, _ = artifact
    evil = (folder / MANIFEST).read_text().replace('"policy.pt"', '"../policy.pt"').encode()
    (folder / MANIFEST).write_bytes(evil)
    with pytest.raises(ArtifactInvalid):
        verify(folder, wanted="sha256:" + hashlib.sha256(evil).hexdigest())


def test_a_space_we_cannot_serve_is_refused_by_name() -> None:
    class Graph:
        pass

    with pytest.raises(ValueError, match=r"Graph spaces cannot be served: .* Flatten it in a wrapper"):
        space_model(Graph())


def test_what_nobody_knows_of_an_imported_policy_is_said(artifact: tuple[Path, str]) -> None:
    folder, digest = artifact
    trained = verify(folder, wanted=digest)
    made = Imported(format="onnx", source="actor.onnx", sha256="0" * 64)
    unknown = {"algorithm": None, "environment": None, "evaluation": None, "lineage": None, "imported": made}
    imported = trained.model_copy(update=unknown)
    assert trained.absent == ["outcomes"]
    assert imported.absent == ["evaluation", "lineage", "outcomes"]
    assert parse_manifest(imported.canonical(), wanted=imported.digest()) == imported
