"""A seed on a GPU: killed, gone on with, published, and its report names the GPU. Runs where torch sees one."""

import signal
from pathlib import Path

import pytest
import torch
from trainer_configs import make_config
from trainer_support import Pods, until

from belay_api.artifact import MANIFEST, verify

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_killed_seed_goes_on_and_publishes_what_serves_without_a_gpu(tmp_path: Path, algorithm: str) -> None:
    pods = Pods(tmp_path)
    config = make_config(algorithm={algorithm: {}}, budget={"steps": 20_000})
    pod = pods.start(config)
    until(lambda: pod.process.poll() is not None or pods.stored())
    pod.signal(signal.SIGKILL)
    pod.wait()

    survivor = pods.run(config)

    assert survivor.wait() == 0, survivor.log
    assert survivor.report.resumed_from
    assert survivor.report.gpu == torch.cuda.get_device_name()
    digest = survivor.report.artifact.digest
    (manifest,) = pods.volume.rglob(MANIFEST)
    assert verify(manifest.parent, wanted=digest).lineage.gpu == survivor.report.gpu
