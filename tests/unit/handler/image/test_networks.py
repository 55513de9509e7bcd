"""Both formats compute the same numbers, and what cannot be loaded is named."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.handler.artifacts import outputs, write
from tests.unit.handler.image.onnx_files import onnx_bytes, torchscript_bytes

from belay_api.artifact import ArtifactInvalid
from belay_handler.networks import load_network


@pytest.mark.parametrize("name", ["policy.onnx", "policy.pt"])
@pytest.mark.parametrize("size", [1, 2, 33])
def test_outputs_are_those_of_the_layer(tmp_path: Path, name: str, size: int) -> None:
    content = {"policy.onnx": onnx_bytes, "policy.pt": torchscript_bytes}[name]()
    network = load_network(write(tmp_path, {name: content}), tmp_path)
    observations = np.random.default_rng(0).normal(size=(size, 4)).astype(np.float32)

    np.testing.assert_allclose(network(observations), outputs(observations), rtol=1e-5, atol=1e-6)


def test_onnx_is_taken_where_there_are_both(tmp_path: Path) -> None:
    manifest = write(tmp_path, {"policy.onnx": onnx_bytes(np.full(2, 9, np.float32)), "policy.pt": torchscript_bytes()})

    assert load_network(manifest, tmp_path)(np.zeros((1, 4), np.float32)).tolist() == [[9, 9]]


@pytest.mark.parametrize("name", ["policy.onnx", "policy.pt"])
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactInvalid, match=f"{name} cannot be loaded"):
        load_network(write(tmp_path, {name: b"not a network"}), tmp_path)


def test_an_artifact_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"policy\.onnx or policy\.pt is needed"):
        load_network(write(tmp_path, {"notes.txt": b""}), tmp_path)
