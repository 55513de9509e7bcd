"""The cross-entropy method on a linear policy: no gradient, and its state is two NumPy arrays.

Source: Szita and Lörincz, "Learning Tetris using the noisy cross-entropy method", Neural Computation 18 (2006), with
constant noise.
"""

import numpy as np
import torch

from belay_trainer.algorithm import Algorithm, Task


class CEM(Algorithm):
    """One round: every candidate plays one episode; the best of them say where the next ones are looked for."""

    def __init__(self, task: Task, *, candidates: int = 24, elites: int = 6, noise: float = 0.05) -> None:
        outputs = int(getattr(task.action_space, "n", None) or np.prod(task.action_space.shape))
        self.policy = torch.nn.Linear(task.observation_space.shape[0], outputs)  # of the mean: it is evaluated
        self.shape = (outputs, task.observation_space.shape[0] + 1)
        self.mean, self.std = np.zeros(self.shape), np.ones(self.shape)
        self.candidates, self.elites, self.noise = candidates, elites, noise
        self.random = np.random.default_rng(task.seed)
        self.discrete = hasattr(task.action_space, "n")

    def learn(self, task: Task) -> dict[str, float]:
        weights = self.mean + self.std * self.random.standard_normal((self.candidates, *self.shape))
        scores: list[float] = []
        while len(scores) < self.candidates:
            scores += self.play(task, weights[len(scores) :][: task.copies])
        best = weights[np.argsort(scores)[-self.elites :]]
        self.mean, self.std = best.mean(axis=0), best.std(axis=0) + self.noise
        with torch.no_grad():
            self.policy.weight.copy_(torch.as_tensor(self.mean[:, :-1]))
            self.policy.bias.copy_(torch.as_tensor(self.mean[:, -1]))
        return {"candidates/mean": float(np.mean(scores)), "candidates/best": max(scores)}

    def play(self, task: Task, weights: np.ndarray) -> list[float]:
        """Return the return of each candidate, (candidate, output, input + 1), in a copy of its own."""
        player = np.resize(np.arange(len(weights)), task.copies)  # by copy; too few candidates play several times
        returns, ends = np.zeros(task.copies), np.zeros(task.copies, int)
        while (ends < 2).any():  # the first end is that of the episode under way, which others began
            inputs = np.append(task.observations, np.ones((task.copies, 1)), axis=1)
            outputs = np.einsum("coi,ci->co", weights[player], inputs)
            step = task.step(outputs.argmax(axis=1) if self.discrete else outputs)
            returns += step.rewards * (ends == 1)
            ends += step.ended
        return [float(returns[player == one].mean()) for one in range(len(weights))]
