"""A policy of several parts under masks, asked through a real TorchServe."""

from pathlib import Path

import httpx
import numpy as np
from tests.unit.handler.artifacts import outputs, write
from tests.unit.handler.image.conftest import serving
from tests.unit.handler.image.onnx_files import onnx_bytes

from belay_api.spaces import BoxSpace, DictSpace, DiscreteSpace

PAIR = BoxSpace(shape=[2], dtype="float32", low=[None, None], high=[None, None])
PARTS = DictSpace(spaces={"b": PAIR, "a": PAIR})


def test_parts_and_masks_travel_through_torchserve(tmp_path: Path) -> None:
    manifest = write(
        tmp_path / "artifact",
        {"policy.onnx": onnx_bytes()},
        observation=PARTS,
        action=DiscreteSpace(n=2),
        output="masked-logits",
    )
    drawn = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    items = [{"observation": {"b": row[2:].tolist(), "a": row[:2].tolist()}, "mask": [1, 1]} for row in drawn]
    with serving(tmp_path, manifest, BELAY_RESPONSE_TIMEOUT_S="60") as pod, httpx.Client(timeout=60) as client:
        pod.wait_ready()
        best = [answer["action"] for answer in client.post(pod.url, json=items).json()]
        assert best == outputs(drawn).argmax(axis=1).tolist(), "the parts lie in the order of their keys"
        assert set(best) == {0, 1}
        only_one = [item | {"mask": [0, 1], "deterministic": False} for item in items]
        assert {answer["action"] for answer in client.post(pod.url, json=only_one).json()} == {1}

        refused = {
            "mask": {"observation": items[0]["observation"]},
            "observation.b": {"observation": {"a": [0, 0]}, "mask": [1, 1]},
        }
        for field, item in refused.items():
            answer = client.post(pod.url, json=item)
            assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
