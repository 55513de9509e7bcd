"""Tensors of another training in the place of those of this one: what fits is copied, what does not is named."""

from collections.abc import Mapping

import torch

from belay_trainer.errors import BadConfiguration


def copy_fitting(
    theirs: Mapping[str, torch.Tensor], ours: Mapping[str, torch.Tensor], *, title: str, advice: str
) -> None:
    """Copy tensors by name, all of `ours` or none.

    Args:
        ours: Written to, in place.
        title: Whose `theirs` are, for messages.
        advice: What to do where they do not fit.
    Raises: BadConfiguration.
    """
    for name, tensor in ours.items():
        if name not in theirs:
            raise BadConfiguration(f"initFrom: {title} has no weights {name}, which this training has. {advice}")
        if theirs[name].shape != tensor.shape:
            raise BadConfiguration(
                f"initFrom: the weights {name} of {title} are {_shape(theirs[name])}, and those of this training "
                f"{_shape(tensor)}. {advice}"
            )
    with torch.no_grad():
        for name, tensor in ours.items():
            tensor.copy_(theirs[name])


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
