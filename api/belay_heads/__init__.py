"""What the outputs of a policy's network mean: one file per kind of output. `head_of` finds the one for a manifest."""

from belay_heads.head import HEADS, Head, head_of

__all__ = ["HEADS", "Head", "head_of"]
