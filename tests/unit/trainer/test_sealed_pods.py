"""Training pods with a key: what others put into the store is not run."""

import os
import pickle
import signal
from pathlib import Path

from trainer_configs import make_config
from trainer_support import Pods, until

from belay_trainer.files import list_checkpoints, reference, write_checkpoint

KEY = b"k" * 32


class Bomb:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.folder),)


def test_a_pod_resumes_from_its_own_checkpoint_and_runs_nobody_elses_pickle(pods: Pods) -> None:
    config = make_config(budget={"steps": 6_000})
    first = pods.start(config, key=KEY)
    until(pods.stored)
    first.signal(signal.SIGKILL)
    first.wait()
    folder = pods.stored()[0].parent
    good = list_checkpoints(folder)[0].step
    went_off = pods.root / "went-off"
    forged = pickle.dumps(Bomb(went_off))
    write_checkpoint(folder, reference(good + 1, forged), forged)

    second = pods.run(config, key=KEY)

    assert second.wait() == 0, second.log
    assert not went_off.exists()
    assert f"checkpoint of timestep {good + 1} is not sealed" in second.log
    assert second.report.resumed_from == good
