"""A policy that remembers, asked through a real TorchServe, and taken over by another version."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.unit.handler.artifacts import outputs, write
from tests.unit.handler.image.conftest import serving
from tests.unit.handler.image.onnx_files import onnx_bytes, summing_bytes, summing_torchscript_bytes

from belay_api.artifact import ArtifactInvalid, RecurrentState
from belay_handler.networks import load_network

STATE = RecurrentState(shape=[4])
FILES = {"policy.onnx": summing_bytes, "policy.pt": summing_torchscript_bytes}


@pytest.mark.parametrize("name", FILES)
def test_a_memory_travels_through_torchserve(name: str, tmp_path: Path) -> None:
    manifest = write(tmp_path / "artifact", {name: FILES[name]()}, state=STATE)
    drawn = np.random.default_rng(0).normal(size=(5, 7, 4)).astype(np.float32)  # timesteps, episodes
    wanted = outputs(np.cumsum(drawn, axis=0).reshape(-1, 4)).argmax(axis=1).reshape(5, 7)
    with serving(tmp_path, manifest, BELAY_RESPONSE_TIMEOUT_S="60") as pod, httpx.Client(timeout=60) as client:
        pod.wait_ready()
        states: list[dict[str, str]] = [{} for _ in range(7)]
        for observations, actions in zip(drawn, wanted, strict=True):
            items = [{"observation": one.tolist()} | state for one, state in zip(observations, states, strict=True)]
            answers = client.post(pod.url, json=items).json()
            assert [one["action"] for one in answers] == actions.tolist()
            states = [{"state": one["state"]} for one in answers]
        foreign = f"s1.{'0' * 16}.{states[0]['state'].rpartition('.')[2]}"
        for state, status in ((foreign, 409), ("nonsense", 400), (states[0]["state"], 200)):
            answer = client.post(pod.url, json={"observation": [0.0] * 4, "state": state})
            assert answer.status_code == status, answer.text
            assert answer.headers["x-belay-policy"]


def test_a_network_and_a_manifest_that_differ_are_not_loaded(tmp_path: Path) -> None:
    """So a runtime of before, which knows no memory, does not serve such a policy without its memory."""
    forgets = write(tmp_path / "one", {"policy.onnx": onnx_bytes()}, state=STATE)
    with pytest.raises(ArtifactInvalid, match="1 inputs and 1 outputs: 2 of each, the second what is remembered"):
        load_network(forgets, tmp_path / "one")
    unsaid = write(tmp_path / "other", {"policy.onnx": summing_bytes()})
    with pytest.raises(ArtifactInvalid, match="2 inputs and 2 outputs: one of each is needed"):
        load_network(unsaid, tmp_path / "other")
