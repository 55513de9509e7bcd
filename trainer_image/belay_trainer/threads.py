"""With how many threads a process computes: one, unless somebody asks for more.

Left alone, torch, BLAS and onnxruntime each take as many as the machine has cores, in every process and whatever share
of them a container may use. What is computed here is small: more threads wait for each other, and inside a limit of CPU
they stand still most of the time.

OpenMP, OpenBLAS and MKL all look at one variable, when they are loaded; onnxruntime looks at none.
"""

import os
from typing import TYPE_CHECKING

from belay_api.runtime import RuntimeSpec

if TYPE_CHECKING:
    import onnxruntime

VARIABLE = "OMP_NUM_THREADS"


def limit() -> None:
    """Let whatever is imported from now on compute with one thread, also in processes that begin from here.

    A number that somebody set stands.
    """
    os.environ.setdefault(VARIABLE, "1")


def take(runtime: RuntimeSpec) -> None:
    """Let torch, and the BLAS it shares with NumPy in our images, compute with as many threads as a spec says."""
    import torch  # noqa: PLC0415  read when it is imported, `limit` has to come before

    torch.set_num_threads(runtime.threads or 1)


def onnx_session(model: str | bytes) -> "onnxruntime.InferenceSession":
    """Return a network of ONNX that is computed with one thread. Args: model: A path, or what a file holds."""
    import onnxruntime  # noqa: PLC0415  slow, and not for every command

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
