"""Evidence as a healthy training gives it, to change one thing at a time."""

from dataclasses import replace
from typing import Any

import numpy as np

from belay_api.outcomes import Played
from belay_api.wire import RunEvaluation
from belay_trainer.diagnosis.evidence import (
    Contract,
    Episodes,
    Evidence,
    Observations,
    Rewards,
    Task,
    Updates,
    Values,
)

LENGTHS = np.arange(800) % 40 + 8


def episodes(
    lengths: np.ndarray = LENGTHS,
    *,
    paid: float = 1.0,
    returns: Any = None,
    terminated: Any = True,
    success: Any = np.nan,
    clock: float = 0.3,
) -> Episodes:
    """Episodes paid the same at every timestep, unless their returns are named."""
    count = len(lengths)
    return Episodes(
        lengths=lengths,
        returns=paid * lengths if returns is None else np.broadcast_to(np.asarray(returns, float), count),
        terminated=np.broadcast_to(np.asarray(terminated), count),
        success=np.broadcast_to(np.asarray(success, float), count),
        clock=clock,
    )


def played(mean: float, *, std: float = 10.0, episodes: int = 100) -> Played:
    return Played(episodes=episodes, mean=mean, std=std, min=mean - 2 * std, max=mean + 2 * std)


def evaluations(*means: float, every: int = 3_000, std: float = 10.0, episodes: int = 20) -> tuple[RunEvaluation, ...]:
    return tuple(
        RunEvaluation(step=(number + 1) * every, mean=mean, std=std, episodes=episodes)
        for number, mean in enumerate(means)
    )


def healthy(**changes: Any) -> Evidence:
    """CartPole at timestep 30,000: it pays 1 for every timestep, and is being learned."""
    learned = Evidence(
        task=Task(budget=40_000, discount=0.98, cap=500, solved_at=475.0, least_entropy=0.007),
        look=10,
        step=30_000,
        rewards=Rewards(count=20_000, low=1.0, high=1.0, mean=1.0),
        episodes=episodes(),
        observations=Observations(count=20_000, low=np.full(4, -1.0), high=np.full(4, 1.0)),
        contract=Contract(steps=64),
        values=Values(predicted=np.linspace(5.0, 40.0, 64), realised=np.linspace(1.0, 30.0, 64)),
        updates=Updates(
            gradient_steps=6_000,
            movement=0.8,
            movement_steps=600,
            entropy=0.55,
            kl=0.01,
            clip_range=0.2,
            usual_action="action 1 is taken in 52 % of timesteps",
        ),
        evaluations=evaluations(*np.linspace(10.0, 300.0, 10)),
        random={"return": played(22.0), "length": played(22.0)},
        reach={"return": (8.0, 300.0), "length": (8.0, 300.0)},
    )
    return replace(learned, **changes)


def young(**changes: Any) -> Evidence:
    """The same after a few thousand timesteps: nothing is learned, and the greedy policy is worse than random ones."""
    few = healthy(
        look=2,
        step=3_000,
        episodes=episodes(LENGTHS[:90]),
        rewards=Rewards(count=4_000, low=1.0, high=1.0, mean=1.0),
        values=Values(predicted=np.linspace(-0.1, 0.2, 64), realised=np.linspace(1.0, 30.0, 64)),
        updates=Updates(gradient_steps=200, movement=0.3, movement_steps=200, entropy=0.69, kl=0.002, clip_range=0.2),
        evaluations=evaluations(9.4, 9.3, every=1_000, std=0.8),
        reach={"return": (8.0, 60.0), "length": (8.0, 60.0)},
    )
    return replace(few, **changes)
