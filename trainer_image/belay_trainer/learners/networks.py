"""From raw observations to what a network was trained on, inside the network that is served."""

import torch

from belay_api.artifact import NormaliserConstants


class Preprocessed(torch.nn.Module):
    """A network behind the constants of its normaliser and the order of channels that its library wants."""

    def __init__(
        self, network: torch.nn.Module, normaliser: NormaliserConstants | None, *, channels_last: bool, shape: list[int]
    ) -> None:
        super().__init__()
        self.network = network
        self.channels_last = channels_last
        self.normalises = normaliser is not None
        if normaliser is not None:
            # Doubles, as in training: a mean that is large beside the deviation leaves nothing of a float.
            mean, variance = (
                torch.tensor(values, dtype=torch.float64).reshape(shape)
                for values in (normaliser.mean, normaliser.variance)
            )
            self.register_buffer("mean", mean)
            self.register_buffer("scale", torch.sqrt(variance + normaliser.epsilon))
            self.clip = normaliser.clip

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return what the network answers to (batch, *observation)."""
        if self.normalises:
            scaled = (observation.to(torch.float64) - self.mean) / self.scale
            observation = scaled.clamp(-self.clip, self.clip).to(torch.float32)
        if self.channels_last:
            observation = observation.permute(0, 3, 1, 2)
        return self.network(observation)
