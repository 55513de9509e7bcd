"""Load the network of a verified artifact; one loader per file format, chosen by the manifest's file list.

A network is a function from a batch of observations to a batch of outputs; that of a policy that remembers takes what
is remembered beside each observation, and answers what is remembered then. Anything unexpected stops the load by name:
a server that cannot load must not become ready.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from belay_api.artifact import ONNX_FILE, TORCHSCRIPT_FILE, ArtifactInvalid, Manifest

Network = Callable[..., Any]
"""(batch, *observation) -> (batch, *output); or that and (batch, *state) -> that and (batch, *state)."""

_ONNX_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}


def network_file(manifest: Manifest) -> str:
    """Return the file to serve from: ONNX where there is one, 2-3 times faster than TorchScript at these sizes.

    Raises: ArtifactInvalid when the artifact holds neither.
    """
    present = {entry.path for entry in manifest.files}
    for name in LOADERS:
        if name in present:
            return name
    raise ArtifactInvalid(f"the manifest lists {sorted(present)}: {' or '.join(LOADERS)} is needed to serve")


def load_network(manifest: Manifest, folder: Path) -> Network:
    """Return the network of the artifact in `folder`, which the caller has verified.

    Raises: ArtifactInvalid when its file cannot be loaded as what its name says it is.
    """
    name, arrays = network_file(manifest), 1 if manifest.state is None else 2
    try:
        return LOADERS[name](folder / name, arrays)
    except ArtifactInvalid:
        raise
    except Exception as error:  # onnxruntime and torch each raise a family of their own
        raise ArtifactInvalid(f"{name} cannot be loaded: {error}") from error


def load_onnx(path: Path, arrays: int = 1) -> Network:
    """Return the ONNX network in `path`, on one thread: a forward pass is shorter than waking a second one.

    Args:
        arrays: It takes, and answers: 2 for one that remembers.
    """
    import onnxruntime as ort  # noqa: PLC0415  each format's library is loaded only when it is served

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != arrays or len(outputs) != arrays:
        needed = "one of each is" if arrays == 1 else f"{arrays} of each, the second what is remembered, are"
        raise ArtifactInvalid(f"{path.name} has {len(inputs)} inputs and {len(outputs)} outputs: {needed} needed")
    dtype = _ONNX_DTYPES.get(inputs[0].type)
    if dtype is None:
        raise ArtifactInvalid(f"{path.name} takes {inputs[0].type}: one of {', '.join(_ONNX_DTYPES)} is needed")
    input_name, output_names, run = inputs[0].name, [one.name for one in outputs], session.run
    if arrays == 2:
        return _remembering(run, input_name, dtype, inputs[1].name, output_names)

    def forward(batch: np.ndarray) -> np.ndarray:
        return run(output_names, {input_name: batch.astype(dtype, copy=False)})[0]

    return forward


def _remembering(
    run: Callable[..., Any], input_name: str, dtype: Any, state_name: str, output_names: list[str]
) -> Network:
    def forward(batch: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs, after = run(output_names, {input_name: batch.astype(dtype, copy=False), state_name: states})
        return outputs, after

    return forward


def load_torchscript(path: Path, arrays: int = 1) -> Network:
    """Return the TorchScript network in `path`; a TorchScript archive holds no pickles of foreign classes.

    Args:
        arrays: It takes, and answers: 2 for one that remembers.
    """
    import torch  # noqa: PLC0415  only for TorchScript

    torch.set_num_threads(1)
    module = torch.jit.load(str(path), map_location="cpu").eval()

    def forward(*given: np.ndarray) -> Any:
        with torch.inference_mode():
            found = module(*(torch.from_numpy(np.ascontiguousarray(one)) for one in given))
        return found.numpy() if arrays == 1 else tuple(one.numpy() for one in found)

    return forward


LOADERS: dict[str, Callable[[Path, int], Network]] = {ONNX_FILE: load_onnx, TORCHSCRIPT_FILE: load_torchscript}
