"""How large gradients are, before they are clipped.

The library clips a gradient and forgets how large it was, and of one that it does not clip nobody asks. What is kept of
SAC's critic afterwards is not its own gradient either: the actor's loss runs through it. So each is measured in the
moment in which its optimiser steps. The norm of a clipped one is what torch's own clipping has just worked out; any
other is a pass over all of its numbers at each step, so it is worked out now and then only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

EVERY = 64  # steps of an optimiser whose gradient is not clipped; by its own count, so that a cut changes nothing


class GradientNorms:
    """Of the latest step of each optimiser that was looked at."""

    def __init__(self) -> None:
        self._norms: dict[
            int, torch.Tensor | float
        ] = {}  # by the optimiser's id; the optimisers of a model live as long as it
        self._unclipped: torch.Tensor | None = None  # of the gradient that was clipped and not stepped along yet

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what happens in the block."""
        clip = torch.nn.utils.clip_grad_norm_

        def noting_clip(*args: Any, **kwargs: Any) -> torch.Tensor:
            self._unclipped = clip(*args, **kwargs)
            return self._unclipped

        torch.nn.utils.clip_grad_norm_ = noting_clip  # it answers the norm, and the library does not look
        hook = register_optimizer_step_pre_hook(self._note)
        try:
            yield
        finally:
            hook.remove()
            torch.nn.utils.clip_grad_norm_ = clip

    def of(self, optimiser: Optimizer) -> float | None:
        """Return the latest norm of its gradient; None: it has not stepped."""
        norm = self._norms.get(id(optimiser))
        return None if norm is None else float(norm)

    def put(self, optimiser: Optimizer, norm: float) -> None:
        """Go on from what was known of it."""
        self._norms[id(optimiser)] = norm

    def _note(self, optimiser: Optimizer, _args: Any, _kwargs: Any) -> None:
        norm, self._unclipped = self._unclipped, None
        if norm is None:
            if _steps(optimiser) % EVERY:
                return
            parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
            norm = torch.nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])
        self._norms[id(optimiser)] = norm.detach()


def _steps(optimiser: Optimizer) -> int:
    """Return how many steps it has counted; 0 of one that counts none."""
    return int(next((state["step"] for state in optimiser.state.values() if "step" in state), 0))
