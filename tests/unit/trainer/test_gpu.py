"""Which device a seed learns on, and what is said of it."""

import logging

import pytest
import torch

from belay_api.runtime import RuntimeSpec
from belay_trainer import gpu

ASKED = RuntimeSpec.model_validate({"resources": {"limits": {"nvidia.com/gpu": 1}}})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_torch_does_not_see_is_missed_aloud(caplog: pytest.LogCaptureFixture) -> None:
    gpu.take(ASKED, index=0)
    assert "asks for nvidia.com/gpu" in caplog.text
    assert "Set runtime.image" in caplog.text
    assert gpu.name() is None


def test_who_asks_for_none_is_told_of_none(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        gpu.take(RuntimeSpec(), index=3)
    assert not caplog.text
