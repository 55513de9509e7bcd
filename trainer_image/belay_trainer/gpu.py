"""The GPU a seed learns on, where torch sees one: its own, when there are several."""

import logging
from typing import Any

import torch

from belay_api.runtime import RuntimeSpec

log = logging.getLogger(__name__)


def take(runtime: RuntimeSpec, *, index: int) -> None:
    """Make one GPU the one that networks are put on where nothing else is said.

    A pod sees those that it asked for. On a machine with several the seeds of a run on it are spread over them.

    Args:
        index: The seed's place among the job's.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())
        log.info("networks are on %s", name())
        return
    asked = [resource for resource in runtime.resources.limits if resource.endswith("/gpu")]
    if asked:
        log.warning(
            "runtime.resources asks for %s, but torch %s sees no GPU: the training runs on the CPU. Set runtime.image "
            "to one with a torch for that GPU (docs/guides/train.md), or leave the GPU to others.",
            *(", ".join(asked), torch.__version__),
        )


def name() -> str | None:
    """Return what the GPU in use is called; None: there is none, and the CPU is used."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def on_cpu(value: Any) -> Any:
    """Return tensors, and those in mappings and lists, on the CPU: what is kept is read anywhere."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: on_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [on_cpu(item) for item in value]
    return value
