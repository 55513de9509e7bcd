"""REINFORCE with a learned baseline, in plain PyTorch: an algorithm of your own for Belay.

Source: Williams, "Simple statistical gradient-following algorithms", Machine Learning 8 (1992); the baseline as in
Sutton and Barto, "Reinforcement Learning", 2nd edition, section 13.4.
"""

import numpy as np
import torch

from belay_trainer.algorithm import Algorithm, Task


class Reinforce(Algorithm):
    """One round: the same number of timesteps in every copy, then one gradient step on all of them."""

    discount = 0.99

    def __init__(self, task: Task, *, learning_rate: float = 5e-3, timesteps: int = 256, hidden: int = 64) -> None:
        inputs, actions = task.observation_space.shape[0], int(task.action_space.n)
        self.policy = mlp(inputs, hidden, actions)  # logits: one number an action
        self.critic = torch.nn.Sequential(mlp(inputs, hidden, 1), torch.nn.Flatten(0))
        parameters = [*self.policy.parameters(), *self.critic.parameters()]
        self.optimiser = torch.optim.Adam(parameters, lr=learning_rate)
        self.timesteps = timesteps

    def learn(self, task: Task) -> dict[str, float]:
        observations, actions, steps = [], [], []
        for _ in range(self.timesteps):
            seen = torch.as_tensor(task.observations)
            with torch.no_grad():
                chosen = torch.distributions.Categorical(logits=self.policy(seen)).sample()
            observations.append(seen)
            actions.append(chosen)
            steps.append(task.step(chosen.numpy()))

        with torch.no_grad():
            following = self.critic(torch.as_tensor(task.observations)).numpy()
            # An episode that was truncated would have gone on: what follows is worth what the critic says.
            cut = [self.critic(torch.as_tensor(step.next_observations)).numpy() * step.truncated for step in steps]
        returns = []
        for step, beyond in zip(reversed(steps), reversed(cut), strict=True):
            following = step.rewards + self.discount * np.where(step.ended, beyond, following)
            returns.insert(0, following)

        seen, chosen = torch.cat(observations), torch.cat(actions)
        target = torch.as_tensor(np.concatenate(returns), dtype=torch.float32)
        value = self.critic(seen)
        advantage = (target - value).detach()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        distribution = torch.distributions.Categorical(logits=self.policy(seen))
        policy_loss = -(distribution.log_prob(chosen) * advantage).mean()
        value_loss = torch.nn.functional.smooth_l1_loss(value, target)
        self.optimiser.zero_grad()
        (policy_loss + value_loss).backward()
        self.optimiser.step()
        entropy = distribution.entropy().mean()
        return {"policy_loss": policy_loss.item(), "value_loss": value_loss.item(), "entropy": entropy.item()}


def mlp(inputs: int, hidden: int, outputs: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(inputs, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, outputs))
