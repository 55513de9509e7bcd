"""What the numbers of a training are called, and what each is. No metric without a definition.

A library has names of its own; whoever looks at curves meets these, whichever library learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from belay_api.environment import CostReport

COST, RATE = "cost/", "cost_rate/"
"""Before the name of a constraint."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number by timestep."""

    name: str
    meaning: str
    library: str | None = None  # what Stable-Baselines3 calls it; None: it does not tell it
    sign: float = 1.0  # by which the library's number is multiplied


METRICS = (
    Metric("return", "Mean return of the greedy episodes of an evaluation."),
    Metric("length", "Mean length of these episodes, in timesteps."),
    Metric(
        "sample_efficiency",
        "Mean of `return` over all evaluations so far: the area under the learning curve, per timestep.",
    ),
    Metric("success_rate", "Share of the episodes of an evaluation that ended with `is_success`, where they say so."),
    Metric("score", "What held-out episodes say of a checkpoint where nobody plays; see `chosenBy`."),
    Metric("collection/return", "Mean return of the latest episodes of collection, at most 100."),
    Metric("collection/length", "Mean length of these episodes, in timesteps."),
    Metric(
        "collection/success_rate", "Share of them that ended with `is_success`; only where the environment says so."
    ),
    Metric("cost/NAME", "Mean cost of the episodes of an evaluation by the constraint NAME."),
    Metric("cost_rate/NAME", "Their costs over their timesteps."),
    Metric("collection/cost/NAME", "Mean cost of the latest episodes of collection by the constraint NAME."),
    Metric("collection/cost_rate/NAME", "Their costs over their timesteps."),
    Metric("collection/shaped_return", "Mean return of these episodes in the rewards that are learned from, unscaled."),
    Metric("collection/component/NAME", "Its part by the component NAME of the reward, weighted; `reward`: the own."),
    Metric("collection/potential", "Its part by the potential."),
    Metric("steps_per_second", "Timesteps per second of this life, evaluations and checkpoints included."),
    Metric("loss", "What the last gradient step minimised.", "train/loss"),
    Metric("policy_loss", "Its part that improves the policy.", "train/policy_loss"),
    Metric("policy_loss", "Its part that improves the policy.", "train/policy_gradient_loss"),
    Metric("value_loss", "Mean squared error of the predicted values.", "train/value_loss"),
    Metric("actor_loss", "What the policy network minimised.", "train/actor_loss"),
    Metric("critic_loss", "What the Q networks minimised.", "train/critic_loss"),
    Metric("kl", "Estimate of the divergence between the policies before and after the update.", "train/approx_kl"),
    Metric("clip_fraction", "Share of samples whose probability ratio was clipped.", "train/clip_fraction"),
    Metric("clip_range", "How far a ratio may be from 1.", "train/clip_range"),
    Metric(
        "explained_variance",
        "Share of the returns' variance that the predicted values explain: 1 all of it, below 0 worse than a constant.",
        "train/explained_variance",
    ),
    Metric("entropy", "Mean entropy of the policy, in nats.", "train/entropy_loss", -1.0),
    Metric("exploration_rate", "Probability of a random action in collection.", "rollout/exploration_rate"),
    Metric("temperature", "Weight of the entropy in the objective.", "train/ent_coef"),
    Metric("temperature_loss", "What the temperature minimised.", "train/ent_coef_loss"),
    Metric("action_std", "Mean standard deviation of the actions.", "train/std"),
    Metric(
        "action/N",
        "Share of the choice N among the latest actions of collection; of a box the share of its numbers that lie in "
        "the N-th tenth of their range, counted from 0. Of more than 18 choices, and without bounds, there is none.",
    ),
    Metric("value", "Discounted return that the critic expects, mean over the timesteps of the latest update."),
    Metric(
        "q_value",
        "The same of the greedy action, where the critic knows actions; mean over 64 observations of the replay.",
    ),
    Metric("gradient_norm", "Size of the last gradient, before it was clipped."),
    Metric("actor_gradient_norm", "The same of the policy network, where critics have an optimiser of their own."),
    Metric("critic_gradient_norm", "The same of these critics."),
    Metric("cloning_loss", "What behaviour cloning minimised: minus the mean log probability of logged actions."),
    Metric("conservative_loss", "How far CQL's values of all actions lie above those of logged ones, both critics."),
    Metric("learning_rate", "Step size of the optimiser.", "train/learning_rate"),
    Metric("updates", "Gradient steps, or passes over the data, so far.", "train/n_updates"),
)
_BY_LIBRARY = {metric.library: metric for metric in METRICS if metric.library}


def of_costs(reports: Sequence[CostReport]) -> dict[str, float]:
    """Return what an evaluation tells of its costs."""
    found = {f"{COST}{one.name}": one.per_episode for one in reports}
    return found | {f"{RATE}{one.name}": one.per_step for one in reports}


def of_episodes(episodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return what figures of episodes of collection come to: costs, and parts of the reward that is learned from.

    Args:
        episodes: At least one; `r`, `l` and `t` are its return, length and time.

    >>> of_episodes([{"r": 1.0, "l": 10, "t": 0.1, "cost/heat": 2.0}, {"r": 1.0, "l": 30, "t": 0.2, "cost/heat": 4.0}])
    {'collection/cost/heat': 3.0, 'collection/cost_rate/heat': 0.15}
    """
    found, timesteps = {}, sum(episode["l"] for episode in episodes)
    for name in sorted(episodes[-1].keys() - {"r", "l", "t"}):
        total = float(sum(episode[name] for episode in episodes))
        found[f"collection/{name}"] = total / len(episodes)
        if name.startswith(COST):
            found[f"collection/{RATE}{name.removeprefix(COST)}"] = total / timesteps
    return found


def named(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics under the names of this table; what is not in it keeps its own.

    >>> named({"train/entropy_loss": -0.69, "collection/return": 21.0})
    {'entropy': 0.69, 'collection/return': 21.0}
    """
    found = {}
    for name, value in metrics.items():
        metric = _BY_LIBRARY.get(name)
        found[metric.name if metric else name] = value * metric.sign if metric else value
    return found
