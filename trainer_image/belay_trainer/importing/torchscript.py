"""A TorchScript file: one tensor in, one tensor out.

It holds no pickled Python, but it is a program all the same: torch's own security policy asks to treat it as code from
whoever wrote it (pytorch/pytorch, SECURITY.md, "TorchScript models"). Serving pods run it too where it cannot be
written as ONNX.
"""

import logging
import shutil
import warnings
from pathlib import Path

import numpy as np
import torch

from belay_api.artifact import Imported
from belay_api.spaces import array_space, space_model
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import ONNX, TOLERANCE, TORCHSCRIPT, Network, load_onnx, write_onnx
from belay_trainer.importing import spaces
from belay_trainer.importing.found import Answers, Declared, Found, Source, fit, require_space, require_trust

log = logging.getLogger(__name__)


def read(source: Source, declared: Declared) -> Found:
    """Return the policy in a file. Raises: BadConfiguration."""
    require_trust(
        declared, source.name, "is TorchScript, which is a program of its author's that runs when it is asked"
    )
    observation = space_model(require_space(declared.observation, "--observation-space", source.name))
    action = array_space(require_space(declared.action, "--action-space", source.name))
    try:
        script = torch.jit.load(str(source.path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise BadConfiguration(
            f"{source.name} is no TorchScript that torch {torch.__version__} loads: {first}"
        ) from error
    network = _network(source, script)
    examples = spaces.observations(observation, count=2)
    head = fit(declared.output, action, width=network(examples).reshape(2, -1).shape[1], name=source.name)

    def write(folder: Path) -> None:
        shutil.copyfile(source.path, folder / TORCHSCRIPT)
        _try_onnx(source.path, network, spaces.observations(observation, count=5), folder)

    return Found(
        imported=Imported(format="torchscript", source=source.name, sha256=source.sha256),
        observation=observation,
        action=action,
        output=head.output,
        policy=Answers(head, network),
        write=write,
    )


def _network(source: Source, script: torch.jit.ScriptModule) -> Network:
    def network(batch: np.ndarray) -> np.ndarray:
        try:
            with torch.inference_mode():
                answer = script(torch.from_numpy(batch))
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
            raise BadConfiguration(
                f"{source.name} does not take a batch of observations of shape {list(batch.shape)} and dtype "
                f"{batch.dtype}: {last}. Check the observation space, and that the network takes batches."
            ) from error
        if not isinstance(answer, torch.Tensor) or answer.shape[:1] != (len(batch),):
            got = list(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
            raise BadConfiguration(
                f"{source.name} answers {got} to {len(batch)} observations: one tensor of shape (batch, outputs) is "
                "needed. Wrap the network in a module that returns only what acts."
            )
        return answer.detach().numpy()

    return network


def _try_onnx(source: Path, network: Network, examples: np.ndarray, folder: Path) -> None:
    """Write the network as ONNX too, which serves faster; not all that TorchScript can say can be said there."""
    path = folder / ONNX
    try:
        script = torch.jit.load(str(source), map_location="cpu").eval()  # a copy: exporting changes its graph
        with warnings.catch_warnings():
            # torch looks for the names of a script's inputs in Python, where it has none, and gives them ours.
            warnings.filterwarnings("ignore", message="no signature found")
            write_onnx(script, examples[:2], folder)
        if np.allclose(load_onnx(path)(examples), network(examples), rtol=TOLERANCE, atol=TOLERANCE):
            return
        reason = "it answers otherwise there"
    except Exception as error:  # torch.onnx and onnxruntime each raise a family of their own, and internal errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    path.unlink(missing_ok=True)
    log.warning("the network is served as TorchScript, for it cannot be written as ONNX: %s", reason)
